#include <doctest/doctest.h>

#include "base/error.h"
#include "base/markup.h"
#include "base/random.h"
#include "base/units.h"

using namespace hourglass;

TEST_CASE("an error is one line: where, what, what to do") {
  CHECK(std::string(base::Error("is wrong", "plan.json /pp", "fix it").what()) == "plan.json /pp: is wrong; fix it");
  CHECK(std::string(base::Error("is wrong").what()) == "is wrong");
}

TEST_CASE("suggestions name the nearest word, and list the choices when none is near") {
  CHECK(base::nearest("dualpip", {"1f1b", "dualpipe", "zb-h1"}) == "dualpipe");
  CHECK(base::nearest("banana", {"1f1b", "dualpipe"}).empty());
  CHECK(base::suggestion("x", {"a1", "b2"}) == "the choices are a1, b2");
  CHECK(base::nearest(std::string(100000, 'a'), {"dualpipe"}).empty());
}

TEST_CASE("hostile text cannot break the line") {
  CHECK(base::printable("a\nb\x1b") == "a\\x0ab\\x1b");
  CHECK(base::printable(std::string(500, 'x')).size() == 123);
}

TEST_CASE("times round to the nearest picosecond and refuse what cannot be simulated") {
  CHECK(base::time_from_seconds(1e-12) == 1);
  CHECK(base::time_from_seconds(1.4e-12) == 1);
  CHECK(base::seconds(base::time_from_seconds(2.5)) == 2.5);
  CHECK_THROWS_AS(base::time_from_seconds(-1.0), base::Error);
  CHECK_THROWS_AS(base::time_from_seconds(0.0 / 0.0 * 1.0), base::Error);
  CHECK_THROWS_AS(base::time_from_seconds(1e9), base::Error);
}

TEST_CASE("random streams are fixed by the seed and the distributions have their moments") {
  base::Random a(7), b(7);
  for (int i = 0; i < 100; ++i) CHECK(a.bits() == b.bits());
  base::Random c(1);
  CHECK(c.bits() == 2469588189546311528u);  // mt19937_64 seeded with 1: fixed by the C++ standard
  double sum = 0.0, squares = 0.0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = c.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(sum / n == doctest::Approx(0.0).epsilon(0.02).scale(1.0));
  CHECK(squares / n == doctest::Approx(1.0).epsilon(0.02));
  for (int i = 0; i < 1000; ++i) CHECK(c.below(7) < 7);
}

TEST_CASE("text from outside becomes UTF-8 and one line, and no character is cut") {
  CHECK(base::utf8("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n") == "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n");
  // Latin-1, a longer form than needed, half a surrogate pair, beyond the last character, a character cut off.
  CHECK(base::utf8("caf\xe9!") == "caf\\xe9!");
  CHECK(base::utf8("\xc0\xaf") == "\\xc0\\xaf");
  CHECK(base::utf8("\xed\xa0\x80") == "\\xed\\xa0\\x80");
  CHECK(base::utf8("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(base::utf8("\xe2\x82") == "\\xe2\\x82");
  CHECK(base::printable("a\nb\xff") == "a\\x0ab\\xff");
  CHECK(base::printable(std::string(119, 'a') + "\xc3\xa9") == std::string(119, 'a') + "...");
  CHECK(base::printable(std::string(118, 'a') + "\xc3\xa9") == std::string(118, 'a') + "\xc3\xa9");
}

TEST_CASE("text inside markup cannot open a tag, end an attribute or start an entity") {
  CHECK(base::escaped_markup("</script> a=\"b\" & 'c'") == "&lt;/script&gt; a=&quot;b&quot; &amp; 'c'");
  CHECK(base::escaped_markup("").empty());
}
