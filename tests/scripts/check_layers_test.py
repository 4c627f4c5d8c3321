# SPDX-License-Identifier: MIT
import unittest

from fake_tree import FakeTree
from load_script import load

check_layers = load("check_layers")

PUBLIC = {
    f"include/aster/{name}.hpp": ""
    for name in ("base/time", "task/future", "loop/event_loop", "loop/backend", "io/socket",
                 "sync/lock", "executor/executor", "testing/sim_loop", "interop/glib")
}
PRIVATE = {
    f"src/{name}.hpp": ""
    for name in ("base/sys", "backend/choose", "backend/readiness", "backend/epoll",
                 "backend/io_uring", "backend/io_uring_ring")
}
LIBRARY = [f"<{name.removeprefix('include/')}>" for name in PUBLIC
           if "testing" not in name and "interop" not in name]


class LayersCase(FakeTree):
    def errors_of(self, name, *includes):
        text = "".join(f"#include {include}\n" for include in includes)
        return self.errors(check_layers.Checker, {**PUBLIC, **PRIVATE, name: text})

    def assert_fine(self, name, *includes):
        self.assertEqual(self.errors_of(name, *includes), [])

    def assert_wrong(self, name, include, message):
        errors = self.errors_of(name, include)
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(message, errors[0])


class Layers(LayersCase):
    def test_a_layer_uses_itself_and_those_to_its_left(self):
        self.assert_fine("include/aster/io/x.hpp", "<aster/io/socket.hpp>", "<aster/base/time.hpp>")

    def test_a_layer_does_not_use_those_to_its_right(self):
        self.assert_wrong("include/aster/task/x.hpp", "<aster/loop/event_loop.hpp>",
                          "task may not use loop")
        self.assert_wrong("src/loop/x.cpp", "<aster/io/socket.hpp>", "loop may not use io")

    def test_side_layers(self):
        self.assert_fine("include/aster/sync/x.hpp", "<aster/task/future.hpp>")
        self.assert_wrong("src/sync/x.cpp", "<aster/loop/event_loop.hpp>", "sync may not use loop")
        self.assert_fine("src/file/x.cpp", "<aster/io/socket.hpp>", "<aster/executor/executor.hpp>")
        self.assert_wrong("src/executor/x.cpp", "<aster/io/socket.hpp>", "executor may not use io")
        self.assert_wrong("src/net/x.cpp", "<aster/sync/lock.hpp>", "net may not use sync")

    def test_testing_and_interop_stay_outside(self):
        self.assert_fine("include/aster/testing/x.hpp", "<aster/io/socket.hpp>")
        self.assert_wrong("src/io/x.cpp", "<aster/testing/sim_loop.hpp>", "io may not use testing")
        self.assert_wrong("src/testing/x.cpp", "<aster/interop/glib.hpp>", "may not use interop")

    def test_the_umbrella_holds_the_whole_library(self):
        self.assert_fine("include/aster/aster.hpp", *LIBRARY)
        errors = self.errors_of("include/aster/aster.hpp", *LIBRARY[1:])
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("leaves out <aster/base/time.hpp>", errors[0])

    def test_the_umbrella_is_for_users(self):
        files = {**PUBLIC, **PRIVATE, "src/io/x.cpp": "#include <aster/aster.hpp>\n",
                 "include/aster/aster.hpp": "".join(f"#include {name}\n" for name in LIBRARY)}
        errors = self.errors(check_layers.Checker, files)
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("include what you use", errors[0])


class PublicHeaders(LayersCase):
    def test_include_the_standard_library_and_aster_only(self):
        self.assert_fine("include/aster/base/x.hpp", "<vector>", "<cstdint>",
                         "<aster/base/build_options.hpp>")
        self.assert_wrong("include/aster/base/x.hpp", "<sys/socket.h>", "C++20 only")
        self.assert_wrong("include/aster/base/x.hpp", "<format>", "C++20 only")

    def test_include_no_private_header(self):
        self.assert_wrong("include/aster/base/x.hpp", '"base/sys.hpp"', "no private header")

    def test_interop_may_include_foreign_ones(self):
        self.assert_fine("include/aster/interop/x.hpp", "<uv.h>")

    def test_commented_includes_do_not_count(self):
        self.assert_fine("include/aster/base/x.hpp", "<vector>\n// #include <unistd.h>")


class BackEnds(LayersCase):
    def test_use_base_and_their_interface_only(self):
        self.assert_fine("src/backend/epoll.cpp", '"base/sys.hpp"', '"backend/epoll.hpp"',
                         '"backend/readiness.hpp"', "<aster/loop/backend.hpp>", "<sys/epoll.h>")
        self.assert_wrong("src/backend/epoll.cpp", "<aster/loop/event_loop.hpp>", "back ends use")

    def test_do_not_include_one_another(self):
        self.assert_fine("src/backend/io_uring.cpp", '"backend/io_uring_ring.hpp"')
        self.assert_wrong("src/backend/poll.cpp", '"backend/epoll.hpp"', "one another")

    def test_do_not_appear_in_readiness(self):
        self.assert_wrong("src/backend/readiness.cpp", '"backend/epoll.hpp"', "no back end")

    def test_are_chosen_in_one_place(self):
        self.assert_fine("src/backend/choose.cpp", '"backend/epoll.hpp"\n#if defined(__linux__)')
        self.assert_wrong("src/backend/poll.cpp", "<poll.h>\n#if defined(__linux__)", "ladder")

    def test_are_seen_by_the_loop_as_a_choice(self):
        self.assert_fine("src/loop/x.cpp", '"backend/choose.hpp"')
        self.assert_wrong("src/loop/x.cpp", '"backend/epoll.hpp"', "only the loop sees")
        self.assert_wrong("src/io/x.cpp", '"backend/choose.hpp"', "only the loop sees")

    def test_files_have_known_names(self):
        self.assert_wrong("src/backend/util.cpp", "<vector>", "neither choose")


class Circles(FakeTree):
    def test_are_found(self):
        errors = self.errors(check_layers.Checker, {
            "include/aster/base/a.hpp": "#include <aster/base/b.hpp>\n",
            "include/aster/base/b.hpp": "#include <aster/base/c.hpp>\n",
            "include/aster/base/c.hpp": "#include <vector>\n#include <aster/base/a.hpp>\n",
        })
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("c.hpp:2: circle: aster/base/a.hpp -> aster/base/b.hpp", errors[0])

    def test_a_diamond_is_none(self):
        errors = self.errors(check_layers.Checker, {
            "include/aster/base/a.hpp": "#include <aster/base/b.hpp>\n#include <aster/base/c.hpp>\n",
            "include/aster/base/b.hpp": "#include <aster/base/d.hpp>\n",
            "include/aster/base/c.hpp": "#include <aster/base/d.hpp>\n",
            "include/aster/base/d.hpp": "",
        })
        self.assertEqual(errors, [])


if __name__ == "__main__":
    unittest.main()
