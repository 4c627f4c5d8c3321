# SPDX-License-Identifier: MIT
"""Installs the library into a fresh prefix and builds and runs programs with it.

static      this build's library; consumers by find_package and by pkg-config
shared      the same with a shared library built for the purpose, symbols hidden
subproject  a project that has aster by add_subdirectory and must not inherit
            tests, examples or warnings
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def run(command, **options):
    """Runs a command that must succeed; gives its output."""
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def check(condition, message):
    if not condition:
        sys.exit(message)


class InstallTest:
    def __init__(self, options):
        self.options = options
        self.work = options.build / f"install_test_{options.kind}"
        self.prefix = self.work / "prefix"
        self.version = None

    def configure(self, source, build, *extra):
        run([self.options.cmake, "-S", source, "-B", build, "-G", self.options.generator,
             f"-DCMAKE_CXX_COMPILER={self.options.compiler}", "-DCMAKE_BUILD_TYPE=Release", *extra])

    def build(self, build):
        run([self.options.cmake, "--build", build, "--parallel", "2"])

    def expect_greeting(self, program, **options):
        output = run([program], **options)
        check(output.startswith("aster "), f"{program} printed: {output}")

    def install(self, build):
        fresh(self.prefix)
        run([self.options.cmake, "--install", build, "--prefix", self.prefix])
        for path in self.prefix.rglob("*"):
            if path.suffix in (".hpp", ".cmake", ".pc"):
                text = path.read_text(encoding="utf-8")
                for leak in (self.options.source, self.options.build):
                    check(str(leak) not in text, f"{path} names {leak}")

    def library_path(self):
        return next(self.prefix.rglob("libaster.*")).parent

    def consume_by_find_package(self):
        build = fresh(self.work / "find_package")
        self.configure(HERE / "find_package", build, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.build(build)
        self.expect_greeting(build / "consumer")

    def consume_by_pkg_config(self):
        tool = shutil.which("pkg-config")
        check(tool, "pkg-config is missing")
        folder = self.library_path() / "pkgconfig"
        environment = {**os.environ, "PKG_CONFIG_PATH": str(folder)}
        run([tool, "--validate", "aster"], env=environment)
        flags = run([tool, "--cflags", "--libs", "aster"], env=environment).split()
        program = fresh(self.work / "pkg_config") / "consumer"
        run([self.options.compiler, "-std=c++20", HERE / "consumer.cpp", "-o", program, *flags])
        self.expect_greeting(
            program, env={**os.environ, "LD_LIBRARY_PATH": str(self.library_path())})

    def consume_both_ways(self):
        self.consume_by_find_package()
        self.consume_by_pkg_config()
        # The tree may be moved.
        moved = self.work / "moved"
        shutil.rmtree(moved, ignore_errors=True)
        self.prefix = self.prefix.rename(moved)
        self.consume_by_find_package()

    def static(self):
        self.install(self.options.build)
        self.consume_both_ways()

    def shared(self):
        build = self.work / "library"
        self.configure(
            self.options.source, build, "-DBUILD_SHARED_LIBS=ON", "-DASTER_BUILD_TESTS=OFF",
            "-DASTER_BUILD_EXAMPLES=OFF")
        self.build(build)
        self.install(build)
        self.consume_both_ways()

    def subproject(self):
        build = fresh(self.work / "outer")
        self.configure(HERE / "subproject", build, f"-DASTER_SOURCE={self.options.source}")
        cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
        for option in ("TESTS", "EXAMPLES", "BENCHMARKS", "FUZZERS"):
            check(f"ASTER_BUILD_{option}:BOOL=OFF" in cache, f"ASTER_BUILD_{option} is not off")
        check("ASTER_FAULT_INJECTION:BOOL=OFF" in cache, "ASTER_FAULT_INJECTION is not off")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["static", "shared", "subproject"])
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    options = parser.parse_args()
    getattr(InstallTest(options), options.kind)()


if __name__ == "__main__":
    main()
