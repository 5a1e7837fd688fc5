#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/fields.h"
#include "cli/options.h"
#include "cli/output.h"

// One file per command, each with one function: arguments in, exit code out. Results go to stdout, progress to stderr.
namespace hourglass::hardware {
struct KernelTable;
}

namespace hourglass::cli {

int plan(const Invocation& invocation);
int simulate(const Invocation& invocation);
int search(const Invocation& invocation);
int compare(const Invocation& invocation);
int schedule(const Invocation& invocation);
int synthesize(const Invocation& invocation);  // schedule synthesize
int model(const Invocation& invocation);
int calibrate(const Invocation& invocation);
int validate(const Invocation& invocation);
int import_measurements(const Invocation& invocation);
int collective(const Invocation& invocation);
int topology(const Invocation& invocation);
int diff(const Invocation& invocation);
int bench(const Invocation& invocation);
int numerics(const Invocation& invocation);
int run(const Invocation& invocation);
int sensitivity(const Invocation& invocation);
int help(const Invocation& invocation);  // help KEY
int man(const Invocation& invocation);
int completion(const Invocation& invocation);

struct Command {
  const char* name;
  int (*run)(const Invocation&);
  const char* summary;
};
std::span<const Command> commands();  // in main.cpp, in the order of the help

// The options of every command that reads a plan: --set, --format.
void add_format(Options& options, const std::string& choices);
void add_overrides(Options& options);
std::vector<std::string> overrides(const Values& values);
// --html FILE: the result as one self-contained page, besides what goes to stdout.
void add_html(Options& options);
// Writes it where it was asked for. `page` is called only then.
void write_html(const Values& values, const std::function<std::string()>& page);
// The value of --format, one of `choices`.
std::string format_of(const Values& values, const std::vector<std::string>& choices);
// The formats of a result that has a JSON document: text, json, csv, jsonl, markdown, and `more`.
std::vector<std::string> result_formats(const std::vector<std::string>& more = {});
// Adds --format with these choices to the help.
void add_result_format(Options& options, const std::vector<std::string>& more = {});
// A result in all its forms, of which one is made: for people, for programs, and the tables of the document (their
// paths, see reports::tables_of) for csv, jsonl and markdown. `drawings` are further formats by name.
struct Rendering {
  std::function<std::string()> text;
  std::function<base::Json()> document;
  std::vector<std::string> tables;
  std::map<std::string, std::function<std::string()>> drawings = {};
};
void write_result(const std::string& format, const Rendering& result);
// The place of `text` among the choices. Throws base::UsageError at `where` if it is none: "unknown `what` 'text'".
std::size_t place_among(const std::vector<std::string>& choices, const std::string& text, const std::string& what,
                        const std::string& where);
// The shipped table of kernel names, after the user's own (--kernels).
hardware::KernelTable kernel_table(const Values& values);
// A required argument; `what` is named when it is missing.
std::string required(const Values& values, const std::string& name, const std::string& what);
std::vector<std::string> split(const std::string& text, char separator);

}  // namespace hourglass::cli
