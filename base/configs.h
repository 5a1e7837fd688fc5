#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The models, clusters, profiles and plans that ship with the program, with the figures and tables it needs: where they
// are, and how they are named.
namespace hourglass::base {

enum class Config : std::uint8_t { model, cluster, profile, plan };

// The file that `text` means where a `kind` is asked for. One rule, on the command line, in --set and in files: what
// holds a '/' or ends in .json is a path, anything else a name.
//   path: relative to the file `named_in`; to the working directory if that is "" (the command line) or a pipe
//   name: a file beside `named_in` (../clusters/NAME.json for a cluster), else one that ships
// A path need not exist. Throws Error with the nearest name and all that ship if there is no such name.
std::string resolve(Config kind, const std::string& text, const std::string& named_in = "");
bool is_path(const std::string& text);

// The other way round, for what is written: the name of a shipped file that resolve found outside the working
// directory, else the path.
std::string name_or_path(Config kind, const std::string& file);

// What a name can be, sorted; in one folder like configs/, or wherever shipped files are looked for.
std::vector<std::string> config_names(Config kind);
std::vector<std::string> config_names(Config kind, const std::string& folder);

// A shipped file by its place in configs/ ("kineto/kernels.json"): in the folder HOURGLASS_CONFIGS, in
// ../share/hourglass/configs beside the program, in the source tree it was built in, built into it; the first that has
// it.
std::string shipped(const std::string& place);
// The first of them with all that `hourglass validate` recomputes.
std::string shipped_folder();

// The text of a file that is built in ("built-in:/clusters/h800.json"); nothing for other paths.
std::optional<std::string_view> built_in(const std::string& path);

// Something that can be read once: /dev/stdin, /dev/fd/63, a named pipe.
bool is_pipe(const std::string& path);

// Where the running program is; "" where the system does not tell.
std::string program_folder();

}  // namespace hourglass::base
