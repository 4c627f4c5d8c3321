# SPDX-License-Identifier: MIT
import unittest

from load_script import load

check_docs = load("check_docs")


def missing(text):
    return [finding.name for finding in check_docs.check_text(text)[1]]


def in_namespace(text):
    return "namespace aster::inline v0 {\n" + text + "\n}\n"


class Namespaces(unittest.TestCase):
    def test_each_kind_of_name_needs_a_comment(self):
        text = in_namespace("""
            class A {};
            struct ASTER_API B final : public Base<int> {};
            enum class C { one, two };
            using D = int;
            template <class T> concept E = requires(T t) { t.x(); };
            inline constexpr int f = 1;
            inline constexpr Tag g{};
            ASTER_API int h(int x = 3, std::vector<int> y = {1, 2});
            template <class T = void> auto i() -> int { return 1; }
        """)
        self.assertEqual(missing(text), list("ABCDEfghi"))

    def test_a_comment_directly_before_is_enough(self):
        text = in_namespace("""
/// A class.
class A {};
/// A template.
template <class T>
  requires std::is_void_v<T> || (sizeof(T) > 1)
[[nodiscard]] ASTER_API int b();
/// Two lines,
/// one comment.
// NOLINTNEXTLINE(some-check): a reason.
enum C : int { one };
        """)
        self.assertEqual(missing(text), [])

    def test_a_comment_further_away_is_not(self):
        self.assertEqual(missing("/// Text.\n\nclass A {};"), ["A"])
        self.assertEqual(missing("// Text.\nclass A {};"), ["A"])
        self.assertEqual(missing("class A {};  ///< Text."), ["A"])

    def test_detail_and_nameless_namespaces_are_not_public(self):
        text = in_namespace("""
            namespace detail { class A {}; namespace more { void f(); } }
            namespace { class B {}; }
            namespace testing { class C {}; }
            namespace aster::inline v0::detail { class D {}; }
        """)
        self.assertEqual(missing(text), ["C"])

    def test_forward_declarations_and_the_like_are_no_names(self):
        text = in_namespace("""
            class A; template <class T> struct B; enum class C : int;
            extern template class D<int>; template class D<long>;
            using std::swap; using namespace std; static_assert(sizeof(int) == 4);
            template <class T> void D<T>::member() { if (true) {} }
            inline int D::other() const { return 1; }
        """)
        self.assertEqual(missing(text), [])

    def test_specialisations_need_no_comment_of_their_own(self):
        text = """
            template <> struct std::hash<aster::A> { };
            template <class T> struct B<T*> { };
        """
        self.assertEqual(missing(text), [])

    def test_a_definition_after_its_declaration_is_not_judged_again(self):
        text = "/// Text.\ntemplate <class T> void f(T);\nclass A;\ntemplate <class T> void f(T) {}"
        self.assertEqual(missing(text), [])

    def test_alternatives_share_a_comment(self):
        text = "/// Text.\n#if X\nusing A = int;\n#else\nusing A = long;\n#endif\n"
        self.assertEqual(missing(text), [])


class Overloads(unittest.TestCase):
    def test_a_comment_counts_for_the_overloads_that_follow(self):
        self.assertEqual(missing("/// Text.\nvoid f();\nvoid f(int);\n\nvoid f(long) {}"), [])

    def test_but_not_for_those_before_or_after_another_name(self):
        self.assertEqual(missing("void f();\n/// Text.\nvoid f(int);"), ["f"])
        self.assertEqual(missing("/// Text.\nvoid f();\nvoid g();\nvoid f(int);"), ["g", "f"])


class Members(unittest.TestCase):
    def members(self, text, keyword="class"):
        found = missing(f"/// Text.\n{keyword} A {{\n{text}\n}};")
        self.assertTrue(all(name.startswith("A::") for name in found))
        return [name.removeprefix("A::") for name in found]

    def test_public_ones_need_a_comment(self):
        text = """
         public:
          explicit A(int x) : x_(x), y_{x}, Base<int>{x} { if (x) {} }
          void f() const noexcept;
          virtual int g() = 0;
          [[nodiscard]] auto h() noexcept { return park([this] { return x_; }); }
          static constexpr int limit = 4;
          struct Options { int x = 1; std::string_view y{}; };
          enum class Kind { a };
          template <class T> void t(T&& x) noexcept(noexcept(x()));
          operator bool() const;
          void operator()() const;
          A& operator=(int x);
          A(const A& other) {}
        """
        self.assertEqual(
            self.members(text),
            ["A", "f", "g", "h", "limit", "Options", "Kind", "t", "operator()", "A"])

    def test_others_do_not(self):
        text = """
          void a();
         protected:
          void b();
         private:
          void c();
          struct State { void d(); };
         public:
        """
        self.assertEqual(self.members(text), [])

    def test_members_of_a_struct_are_public(self):
        self.assertEqual(self.members("void f();\n private:\n void g();", "struct"), ["f"])

    def test_fields_aliases_and_friends_need_none(self):
        text = """
         public:
          int x = 3; std::vector<int> y{1, 2}; std::function<void(int)> z = nullptr;
          using value_type = int; using Base::Base; typedef int old;
          friend class B; friend bool operator<(const A&, const A&) { return false; }
        """
        self.assertEqual(self.members(text), [])

    def test_what_says_everything_itself_needs_none(self):
        text = """
         public:
          A() noexcept = default; A(const A&) = delete; A& operator=(A&&) = default;
          virtual ~A(); ~A() override;
          void f() override; void g() const override { call(); }
          bool operator==(const A&) const = default; auto operator<=>(const A& o) const { return 1; }
          bool await_ready() noexcept { return true; } void await_suspend(std::coroutine_handle<>) {}
          auto operator co_await() &&; struct promise_type { void return_void(); };
        """
        self.assertEqual(self.members(text), [])

    def test_a_defaulted_constructor_does_not_hide_the_next(self):
        text = " public:\n A() = default;\n explicit A(int x) : x_(x) {}\n"
        self.assertEqual(self.members(text), ["A"])

    def test_nested_classes_are_looked_into(self):
        found = missing("/// T.\nclass A { public:\n/// T.\nstruct B { void f(); int g; }; };")
        self.assertEqual(found, ["B::f"])

    def test_literals_and_comments_do_not_confuse(self):
        text = """
         public:
          /// Text with class X { and 'quotes'.
          void f(char c = '{', const char* s = "}{", int n = 1'000) { /* } */ }
          void g();
        """
        self.assertEqual(self.members(text), ["g"])

    def test_requires_clauses(self):
        text = """
         public:
          template <class F> requires requires(F f) { { f() } -> std::same_as<int>; } void f(F);
          template <class F> void g(F) requires (sizeof(F) < 8) { run(); }
          template <class F> requires std::invocable<F&, int> && (!std::same_as<F, A>) A(F f) : f_(f) {}
        """
        self.assertEqual(self.members(text), ["f", "g", "A"])


if __name__ == "__main__":
    unittest.main()
