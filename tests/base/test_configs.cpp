#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/configs.h"
#include "base/error.h"
#include "base/json.h"

using namespace hourglass;
using base::Config;
using base::resolve;
namespace fs = std::filesystem;

namespace {

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A folder that is gone afterwards, with HOURGLASS_CONFIGS as it was.
struct Scratch {
  fs::path folder = fs::temp_directory_path() / ("hourglass-configs-" + std::to_string(getpid()));
  Scratch() { fs::create_directories(folder / "clusters"); }
  ~Scratch() {
    unsetenv("HOURGLASS_CONFIGS");
    fs::remove_all(folder);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string file(const std::string& place) const {
    std::ofstream(folder / place) << "{}\n";
    return (folder / place).string();
  }
};

}  // namespace

TEST_CASE("a '/' or .json makes a path: of the working directory on the command line, of the file inside a file") {
  CHECK(resolve(Config::cluster, "my.json") == "my.json");
  CHECK(resolve(Config::cluster, "../c/my.json") == "../c/my.json");
  CHECK(resolve(Config::model, "./config") == "./config");
  CHECK(resolve(Config::model, "../models/a.json", "plans/p.json") == "models/a.json");
  CHECK(resolve(Config::model, "/models/a.json", "plans/p.json") == "/models/a.json");
  CHECK(resolve(Config::model, "a.json", "p.json") == "a.json");
}

TEST_CASE("what a plan from a pipe names is seen from the working directory") {
  CHECK(resolve(Config::model, "models/a.json", "/dev/stdin") == "models/a.json");
  CHECK(resolve(Config::model, "./models/a.json", "/dev/fd/63") == "models/a.json");
  CHECK(resolve(Config::cluster, "h800", "/dev/stdin") == resolve(Config::cluster, "h800"));
}

TEST_CASE("a name is a shipped file, wherever it is asked for") {
  for (const std::string& name : base::config_names(Config::cluster))
    CHECK(fs::path(resolve(Config::cluster, name)).filename() == name + ".json");
  CHECK(base::load_json(resolve(Config::model, "llama-3.1-8b")).value.is_object());  // the dot ends no name
  CHECK(resolve(Config::profile, "h800", "/nowhere/clusters/c.json") == resolve(Config::profile, "h800"));
}

TEST_CASE("a file beside the one that names it comes before what ships") {
  const Scratch scratch;
  const std::string mine = scratch.file("clusters/h800.json"), own = scratch.file("clusters/own.json");
  fs::create_directories(scratch.folder / "plans");
  const std::string plan = scratch.file("plans/p.json");
  CHECK(resolve(Config::cluster, "h800", plan) == mine);
  CHECK(resolve(Config::cluster, "own", plan) == own);
  CHECK(resolve(Config::cluster, "h100", plan) == resolve(Config::cluster, "h100"));
}

TEST_CASE("an unknown name is answered with the nearest and with all that ship") {
  const std::string message = message_of([] { resolve(Config::cluster, "h80"); });
  CHECK(holds(message, "there is no cluster 'h80'"));
  CHECK(holds(message, "did you mean 'h800'?"));
  CHECK(holds(message, "a100, h100, h200, h800"));
  CHECK(holds(message_of([] { resolve(Config::model, "gpt", "p.json"); }), "p.json /model: there is no model 'gpt'"));
  CHECK(holds(message_of([] { resolve(Config::plan, ""); }), "there is no plan ''"));
  CHECK(message_of([] { resolve(Config::plan, "a\nb"); }).find('\n') == std::string::npos);
}

TEST_CASE("HOURGLASS_CONFIGS is looked into first, and what it lacks is found as before") {
  const Scratch scratch;
  const std::string own = scratch.file("clusters/own.json"), h800 = scratch.file("clusters/h800.json");
  const std::string before = resolve(Config::plan, "deepseek-v3");
  setenv("HOURGLASS_CONFIGS", scratch.folder.c_str(), 1);
  CHECK(resolve(Config::cluster, "own") == own);
  CHECK(resolve(Config::cluster, "h800") == h800);
  CHECK(resolve(Config::plan, "deepseek-v3") == before);
  const std::vector<std::string> names = base::config_names(Config::cluster);
  CHECK(std::count(names.begin(), names.end(), "own") == 1);
  CHECK(std::count(names.begin(), names.end(), "h800") == 1);
  setenv("HOURGLASS_CONFIGS", "/nowhere", 1);
  CHECK(message_of([] { resolve(Config::cluster, "h800"); }).starts_with("HOURGLASS_CONFIGS=/nowhere: is no folder"));
}

TEST_CASE("what is built in reads like the file that it was, and names its neighbours") {
  const std::string plan = "built-in:/plans/deepseek-v3.json";
  CHECK(base::load_json(plan).text_hash == base::load_json(base::shipped("plans/deepseek-v3.json")).text_hash);
  CHECK(resolve(Config::cluster, "../clusters/h800.json", plan) == "built-in:/clusters/h800.json");
  CHECK(resolve(Config::cluster, "h800", plan) == "built-in:/clusters/h800.json");
  CHECK(base::load_json("built-in:/published/../models/deepseek-v3.json").value.is_object());
  CHECK(holds(message_of([] { base::load_json("built-in:/models/none.json"); }), "no such file"));
  CHECK(base::config_names(Config::cluster, "built-in:").size() >= 4);
}

TEST_CASE("a shipped file outside the working directory is written by its name, any other by its path") {
  const Scratch scratch;
  const std::string own = scratch.file("clusters/own.json");
  CHECK(base::name_or_path(Config::cluster, own) == own);
  setenv("HOURGLASS_CONFIGS", scratch.folder.c_str(), 1);
  CHECK(base::name_or_path(Config::cluster, own) == "own");
  CHECK(base::name_or_path(Config::cluster, "built-in:/clusters/h800.json") == "h800");
  CHECK(base::name_or_path(Config::cluster, "configs/clusters/h800.json") == "configs/clusters/h800.json");
  CHECK(base::name_or_path(Config::cluster, "/nowhere/h800.json") == "/nowhere/h800.json");
}
