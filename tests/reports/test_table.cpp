#include <doctest/doctest.h>

#include "reports/table.h"

using namespace hourglass::reports;

TEST_CASE("columns line up: the first to the left, the others to the right") {
  Table table({"name", "n"});
  table.add({"a", "1"});
  table.add({"longer", "1000"});
  CHECK(table.text("") ==
        "name       n\n"
        "------------\n"
        "a          1\n"
        "longer  1000\n");
}

TEST_CASE("numbers are written for people") {
  CHECK(grouped(2664000.4) == "2,664,000");
  CHECK(grouped(999) == "999");
  CHECK(grouped(-1234) == "-1,234");
  CHECK(grouped(0) == "0");
  CHECK(shortened(14.8e12) == "14.8T");
  CHECK(shortened(999.6) == "1k");
  CHECK(shortened(12) == "12");
  CHECK(seconds_text(10.5) == "10.500 s");
  CHECK(seconds_text(0.0312) == "31.20 ms");
  CHECK(seconds_text(0.00085) == "850.0 us");
  CHECK(percent(0.0423) == "4.2 %");
  CHECK(gib(1024.0 * 1024 * 1024 * 79.1) == "79.1");
}
