// Built-in files have paths like any other, under a root that no disk has: "built-in:/plans/deepseek-v3.json". So what a
// plan names relative to itself is found by the same arithmetic wherever the plan is.
#include "base/configs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/embedded.h"
#include "base/error.h"

namespace hourglass::base {

namespace {

namespace fs = std::filesystem;

constexpr const char* kinds[] = {"model", "cluster", "profile", "plan"};
const std::string built_in_root = "built-in:";

std::string kind_name(Config kind) { return kinds[static_cast<std::size_t>(kind)]; }
std::string folder_name(Config kind) { return kind_name(kind) + "s"; }

bool exists(const std::string& file) {
  std::error_code ignored;
  return built_in(file).has_value() || fs::is_regular_file(file, ignored);
}

// "configs" where the program is called in its source tree: results do not depend on where the tree is.
std::string source_root() {
  std::error_code ignored;
  const fs::path source = fs::weakly_canonical(HOURGLASS_SOURCE_DIR, ignored);
  return source == fs::current_path(ignored) ? "configs" : (source / "configs").string();
}

// The folders that may hold shipped files, in order.
std::vector<std::string> roots() {
  std::vector<std::string> all;
  std::error_code ignored;
  if (const char* given = std::getenv("HOURGLASS_CONFIGS"); given != nullptr && *given != '\0') {
    if (!fs::is_directory(given, ignored))
      throw Error("is no folder", fmt::format("HOURGLASS_CONFIGS={}", printable(given)),
                  "name one with clusters/, models/, plans/ and profiles/, or unset it");
    all.emplace_back(given);
  }
  // bin/hourglass, and what that starts in lib/hourglass/.
  for (const char* up : {"..", "../.."})
    all.push_back((fs::path(program_folder()) / up / "share/hourglass/configs").lexically_normal().string());
  all.push_back(source_root());
  all.push_back(built_in_root);
  return all;
}

void add_names(std::set<std::string>& names, const std::string& root, Config kind) {
  const std::string folder = folder_name(kind);
  if (root.starts_with(built_in_root)) {
    for (const EmbeddedFile& file : embedded_files()) {
      if (file.name.starts_with(folder + "/")) names.insert(fs::path(file.name).stem().string());
    }
    return;
  }
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(fs::path(root) / folder, ignored)) {
    if (entry.path().extension() == ".json") names.insert(entry.path().stem().string());
  }
}

std::optional<std::string> root_with(const std::string& place) {
  for (const std::string& root : roots()) {
    if (exists(root + "/" + place)) return root;
  }
  return std::nullopt;
}

std::string path_from(const std::string& text, const std::string& named_in) {
  if (named_in.empty() || text.starts_with(built_in_root + "/")) return text;
  if (is_pipe(named_in)) return fs::path(text).lexically_normal().string();
  return (fs::path(named_in).parent_path() / text).lexically_normal().string();
}

}  // namespace

bool is_path(const std::string& text) { return text.find('/') != std::string::npos || text.ends_with(".json"); }

std::string resolve(Config kind, const std::string& text, const std::string& named_in) {
  if (is_path(text)) return path_from(text, named_in);
  const std::string place = folder_name(kind) + "/" + text + ".json";
  if (!named_in.empty() && !is_pipe(named_in)) {
    if (const std::string beside = path_from("../" + place, named_in); exists(beside)) return beside;
  }
  if (const auto root = root_with(place)) return *root + "/" + place;
  const std::vector<std::string> names = config_names(kind);
  const std::string near = nearest(text, names);
  throw Error(fmt::format("there is no {} '{}'", kind_name(kind), printable(text)),
              named_in.empty() ? "" : fmt::format("{} /{}", named_in, kind_name(kind)),
              fmt::format("{}shipped are {}; a path has a '/' or ends in .json",
                          near.empty() ? "" : fmt::format("did you mean '{}'? ", near), fmt::join(names, ", ")));
}

std::string name_or_path(Config kind, const std::string& file) {
  const std::string name = fs::path(file).stem().string(), place = folder_name(kind) + "/" + name + ".json";
  if (built_in(file)) return name;
  if (!fs::path(file).is_absolute()) return file;
  const auto root = root_with(place);
  return root && *root + "/" + place == file ? name : file;
}

std::vector<std::string> config_names(Config kind) {
  std::set<std::string> names;
  for (const std::string& root : roots()) add_names(names, root, kind);
  return {names.begin(), names.end()};
}

std::vector<std::string> config_names(Config kind, const std::string& folder) {
  std::set<std::string> names;
  add_names(names, folder, kind);
  return {names.begin(), names.end()};
}

std::string shipped(const std::string& place) {
  const auto root = root_with(place);
  if (!root) throw Error("no such shipped file", place, "is HOURGLASS_CONFIGS right?");
  return *root + "/" + place;
}

std::string shipped_folder() {
  const std::string last = "/published/bounds.json", file = shipped(last.substr(1));
  return file.substr(0, file.size() - last.size());
}

std::optional<std::string_view> built_in(const std::string& path) {
  if (!path.starts_with(built_in_root + "/")) return std::nullopt;
  const std::string name = fs::path(path.substr(built_in_root.size() + 1)).lexically_normal().string();
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name == name) return file.text;
  }
  return std::nullopt;
}

bool is_pipe(const std::string& path) {
  std::error_code ignored;
  return path.starts_with("/dev/") || path.starts_with("/proc/") || fs::is_other(fs::status(path, ignored));
}

std::string program_folder() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  return failed ? "" : program.parent_path().string();
}

}  // namespace hourglass::base
