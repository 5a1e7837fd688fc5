#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"

using namespace hourglass;
using base::Fields;
using base::parse_json;

namespace {

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a duplicate key, deep nesting, overflow and broken syntax are refused with the file's name") {
  CHECK(message_of([] { parse_json(R"({"a":1,"a":2})", "f.json"); }) ==
        "f.json: the key 'a' appears twice; keep one of them");
  CHECK(message_of([] { parse_json(std::string(100000, '['), "f.json"); }) ==
        "f.json: nested deeper than 64 levels; flatten the file");
  CHECK(message_of([] { parse_json("[1e999]", "f.json"); }).find("too large") != std::string::npos);
  CHECK(message_of([] { parse_json("{\"a\":NaN}", "f.json"); }).find("not valid JSON") != std::string::npos);
  CHECK(message_of([] { parse_json("", "f.json"); }).find("not valid JSON") != std::string::npos);
  CHECK(message_of([] { parse_json("[1,2", "f.json", 3); }).find("4 bytes are more than the 3") != std::string::npos);
  CHECK(parse_json("// a comment\n{\"a\": 1}", "f.json")["a"] == 1);
}

TEST_CASE("a file that is absent, a folder or too large is refused") {
  const auto folder = std::filesystem::temp_directory_path() / "hourglass_test_json";
  std::filesystem::create_directories(folder);
  CHECK(message_of([&] { base::load_json((folder / "absent.json").string()); }).find("no such file") !=
        std::string::npos);
  CHECK(message_of([&] { base::load_json(folder.string()); }).find("is a folder") != std::string::npos);
  const auto big = folder / "big.json";
  std::ofstream(big) << std::string(10 << 20, ' ');
  CHECK(message_of([&] { base::load_json(big.string()); }).find("larger than") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("fields refuse what was not asked for and say what was meant") {
  const base::Json json =
      parse_json(R"({"layers": 3, "hiden": 7, "rate": -1, "name": "x", "list": [1, 2.5]})", "f.json");
  Fields fields(json, "f.json");
  CHECK(fields.integer("layers") == 3);
  CHECK(message_of([&] { fields.integer("name"); }) == "f.json /name: expected a whole number, found a string");
  CHECK(message_of([&] { fields.number("rate"); }).find("-1 is out of range; give a number from 0") !=
        std::string::npos);
  CHECK(message_of([&] { fields.integers("list"); }).find("f.json /list/1: expected a whole number, found 2.5") !=
        std::string::npos);
  CHECK(message_of([&] { fields.integer("hidden"); }) == "f.json /hidden: is missing; add it");
  CHECK(message_of([&] { fields.finish(); }) == "f.json /hiden: unknown key; did you mean 'hidden'?");
  CHECK(message_of([&] { fields.choice("name", {"y1", "z1"}); }).find("the choices are y1, z1") != std::string::npos);
}

TEST_CASE("a schema may be named at the top of any file, nowhere else") {
  const base::Json json = parse_json(R"({"$schema": "s.json", "inside": {"$schema": "s.json"}})", "f.json");
  Fields fields(json, "f.json");
  const Fields inside = fields.object("inside");
  CHECK_NOTHROW(fields.finish());
  CHECK(message_of([&] { inside.finish(); }).find("f.json /inside/$schema: unknown key") == 0);
}

TEST_CASE("all required keys that are missing are named in one error") {
  const base::Json json = parse_json(R"({"a": 1})", "f.json");
  const Fields fields(json, "f.json", "/x");
  CHECK_NOTHROW(fields.require({"a"}));
  CHECK(message_of([&] { fields.require({"a", "b"}); }) == "f.json /x/b: is missing; add it");
  CHECK(message_of([&] { fields.require({"d", "a", "b", "c"}); }) == "f.json /x: d, b and c are missing; add them");
}

TEST_CASE("overrides reach nested keys and list items, and refuse what is not there") {
  base::Json json = parse_json(R"({"a": {"b": 1}, "list": [{"c": 2}]})", "f.json");
  base::apply_override(json, "a.b=1f1b");
  base::apply_override(json, "list.0.c=[1,2]");
  base::apply_override(json, "a.new=2.5");
  CHECK(json.dump() == R"({"a":{"b":"1f1b","new":2.5},"list":[{"c":[1,2]}]})");
  CHECK_THROWS_AS(base::apply_override(json, "list.7.c=1"), base::UsageError);
  CHECK_THROWS_AS(base::apply_override(json, "x.y=1"), base::UsageError);
  CHECK_THROWS_AS(base::apply_override(json, "nothing"), base::UsageError);
  CHECK_THROWS_AS(base::apply_override(json, "a.b.c=1"), base::UsageError);
}

TEST_CASE("an object with thousands of keys is refused before looking them up takes minutes") {
  std::string text = "{";
  for (int i = 0; i < 2001; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  CHECK_THROWS_WITH_AS(parse_json(text + "}", "f.json"), doctest::Contains("more than 2000 keys"), base::Error);
}

TEST_CASE("the value of an override is as strict as a file, and can be written again") {
  base::Json json = parse_json(R"({"a": 1})", "f.json");
  const std::string deep(2000, '[');
  CHECK_THROWS_WITH_AS(base::apply_override(json, "a=" + deep + std::string(2000, ']')), doctest::Contains("nested"),
                       base::Error);
  CHECK_THROWS_WITH_AS(base::apply_override(json, R"(a={"b": 1, "b": 2})"), doctest::Contains("twice"), base::Error);
  base::apply_override(json, "a=caf\xe9");
  CHECK(json.dump() == R"({"a":"caf\\xe9"})");
}

TEST_CASE("fuzz: mutated JSON is parsed or refused with an Error, never anything else") {
  const std::string seed = R"({"schema":"1.0.0","x":[1,2.5e3,-4,{"y":null,"z":[true,false,"A\u0041"]}],"k":"v"})";
  base::Random random(11);
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seed;
    for (std::uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
      const std::size_t at = random.below(text.size());
      if (random.below(3) == 0)
        text.erase(at, 1 + random.below(3));
      else if (random.below(2) == 0)
        text[at] = static_cast<char>(random.below(256));
      else
        text.insert(at, 1, "{}[],:\"0e-\\"[random.below(11)]);
    }
    try {
      parse_json(text, "fuzz");
      ++parsed;
    } catch (const base::Error&) {
    }
  }
  CHECK(parsed > 0);
  CHECK(parsed < 20000);
}
