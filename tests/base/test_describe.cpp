#include <doctest/doctest.h>

#include "base/describe.h"
#include "base/error.h"

namespace hourglass::base {

namespace {

enum class Colour : std::uint8_t { red, green };

struct Wheel {
  double radius = 0.25;
  std::vector<std::int64_t> holes;
};
struct Cart {
  std::string name;
  Colour colour = Colour::green;
  double start_s = 2e-6, slow = 0.0;
  int riders = 4;
  bool open = false;
  std::optional<double> price;
  Wheel spare;
  std::optional<Wheel> front;
  Wheel rear;
  std::vector<Wheel> wheels;
  std::vector<std::string> tags;
  std::vector<std::int64_t> loads;
};

template <class V>
void describe(V& v, Wheel& w) {
  v.optional("radius", w.radius, range(0.1, 2.0).from("a ruler"), "from hub to ground");
  v.optional("holes", w.holes, range(0, 9), "one number a spoke");
}

void check(const Wheel& wheel, const Fields& fields) {
  if (wheel.radius > 1.5 && wheel.holes.empty()) fields.fail("radius", "a large wheel without holes", "drill");
}

std::vector<std::int64_t> read_loads(Fields& fields, const std::string& name) {
  if (fields.any(name).is_array()) return fields.integers(name);
  fields.choice(name, {"balanced"});
  return {};
}

template <class V>
void describe(V& v, Cart& c) {
  v.required("name", c.name, "what it is called");
  v.optional("colour", c.colour, choice({"red", "green"}), "of the paint");
  v.optional("start_us", c.start_s, range(0, 1e6, unit::us).cited(), "until it moves");
  v.optional("slow_us", c.slow, range(0, 1e6, unit::us).when(c.colour == Colour::red), "more of the same");
  v.optional("riders", c.riders, range(1, 8), "who fits in");
  v.optional("open", c.open, "whether it has no roof");
  v.optional("price", c.price, range(0, 1e6, unit::USD).otherwise("not for sale"), "of the cart");
  v.optional("spare", c.spare, "a wheel besides");
  v.optional("front", c.front, "the front wheel, where it has one");
  v.optional("rear", c.rear, fallback(c.spare, "spare"), "the rear wheel");
  v.optional("wheels", c.wheels, items(Wheel{0.5, {}}), "the others");
  v.optional("tags", c.tags, choice({"new", "old"}), "what it says on the label");
  v.optional("loads", c.loads,
             special<std::vector<std::int64_t>>(
                 "whole numbers or \"balanced\"", Json{{"type", {"array", "string"}}}, read_loads,
                 [](const std::vector<std::int64_t>& loads) { return loads.empty() ? Json("balanced") : Json(loads); }),
             "what lies where");
  v.ignored("notes", "for the reader");
  v.sources();
}

Cart read(const char* text, std::vector<std::string>* given = nullptr) {
  const Json document = parse_json(text, "cart.json");
  Fields fields(document, "cart.json");
  Cart cart;
  read_described(fields, cart, given);
  return cart;
}

std::string error_of(const char* text) {
  try {
    read(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("absent keys keep the defaults, given ones are converted to SI and listed") {
  std::vector<std::string> given;
  const Cart cart = read(R"({"$schema": "x", "name": "a", "colour": "red", "start_us": 3, "riders": 2, "price": 10,
      "spare": {"radius": 0.3}, "wheels": [{}, {"holes": [1, 2]}], "tags": ["old"], "loads": "balanced", "notes": "n",
      "sources": {"start_us": "a watch"}})",
                         &given);
  CHECK(cart.colour == Colour::red);
  CHECK(cart.start_s == 3.0 * 1e-6);
  CHECK(cart.riders == 2);
  CHECK(cart.price == 10.0);
  CHECK(cart.spare.radius == 0.3);
  CHECK(!cart.front);
  CHECK(cart.rear.radius == 0.3);
  REQUIRE(cart.wheels.size() == 2);
  CHECK(cart.wheels[0].radius == 0.5);
  CHECK(cart.wheels[1].holes == std::vector<std::int64_t>{1, 2});
  CHECK(given == std::vector<std::string>{"name", "colour", "start_us", "riders", "price", "spare", "spare.radius",
                                          "wheels", "tags", "loads", "notes"});
}

TEST_CASE("what is wrong is said as by Fields, with the path") {
  CHECK(error_of(R"({"name": "a", "sources": {}, "colour": "rde"})") ==
        "cart.json /colour: 'rde' is not a choice; the choices are red, green");
  CHECK(error_of(R"({"name": "a", "sources": {}, "wheels": [{"radius": 3}]})") ==
        "cart.json /wheels/0/radius: 3 is out of range; give a number from 0.1 to 2");
  CHECK(error_of(R"({"name": "a", "sources": {}, "spare": {"radius": 1.6}})") ==
        "cart.json /spare/radius: a large wheel without holes; drill");
  CHECK(error_of(R"({"name": "a", "start_us": 3, "sources": {}})") ==
        "cart.json /sources/start_us: is missing; add it");
  CHECK(error_of(R"({"name": "a", "sources": {}, "riders": 9})") ==
        "cart.json /riders: 9 is out of range; give a whole number from 1 to 8");
  CHECK(error_of(R"({"name": "a", "sources": {}, "tags": ["odl"]})") ==
        "cart.json /tags/0: 'odl' is not a choice; the choices are new, old");
  CHECK(error_of(R"({"name": "a", "sources": {}, "rider": 9})") ==
        "cart.json /rider: unknown key; did you mean 'riders'?");
}

TEST_CASE("a value is written as it would be read, without the defaults") {
  Cart cart;
  cart.name = "a";
  CHECK(json_of(cart).dump() == R"({"name":"a"})");
  cart.start_s = 3.7e-6;
  cart.colour = Colour::red;
  cart.front = Wheel{1.0, {3}};
  cart.wheels = {Wheel{}};
  CHECK(json_of(cart).dump() ==
        R"({"name":"a","colour":"red","start_us":3.7,"slow_us":0.0,"front":{"radius":1.0,"holes":[3]},"wheels":[{}]})");
}

TEST_CASE("the tree of keys makes a schema and a table") {
  const Json schema = schema_json(keys_of<Cart>(), "cart", "A cart.");
  CHECK(schema["required"].dump() == R"(["name","sources"])");
  const Json& properties = schema["properties"];
  CHECK(
      properties["start_us"].dump() ==
      R"({"type":["number","null"],"minimum":0,"maximum":1000000,"default":2.0,"description":"until it moves [us]"})");
  CHECK(properties["colour"].dump() ==
        R"({"type":["string","null"],"enum":["red","green",null],"default":"green","description":"of the paint"})");
  CHECK(properties["wheels"]["items"]["properties"]["radius"]["default"] == 0.5);
  CHECK(properties["price"]["description"] == "of the cart [USD]; default: not for sale");
  CHECK(properties["sources"]["properties"].dump() ==
        R"({"start_us":{"type":["string","null"],"description":"where start_us comes from"}})");
  const std::string table = reference_markdown(reference_rows(keys_of<Cart>(), "cart."));
  CHECK(table.find("| `cart.wheels[].radius` | number |  | 0.1 to 2 | 0.5 | from hub to ground (a ruler) |") !=
        std::string::npos);
  CHECK(table.find("| `cart.name` | text |  |  | required | what it is called |") != std::string::npos);
}

}  // namespace hourglass::base
