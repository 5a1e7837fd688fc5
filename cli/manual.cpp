// The manual page and the completion of the shells, written from what the commands say of themselves, so that they
// cannot tell something else than --help.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/configs.h"
#include "base/error.h"
#include "base/version.h"
#include "cli/command.h"
#include "hardware/measure/import.h"
#include "hardware/network/collectives.h"
#include "schedules/catalogue.h"

namespace hourglass::cli {

namespace {

struct Told {
  std::string name, summary;
  Usage usage;
  std::vector<Option> options;
};

std::vector<Told> all_commands() {
  std::vector<Told> told;
  const auto add = [&](const std::string& name, const std::string& summary, int (*run)(const Invocation&)) {
    Told& command = told.emplace_back(Told{name, summary, {}, {}});
    run({{"hourglass", name}, {}, [&](const Usage& usage, const Options& options) {
           command.usage = usage;
           command.options = options.declared();
         }});
  };
  for (const Command& command : commands()) {
    add(command.name, command.summary, command.run);
    if (command.run == schedule) add("schedule synthesize", "an order better than every named schedule", synthesize);
  }
  return told;
}

// ---- The manual page, in roff.

std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool line_begins = out.empty() || out.back() == '\n';
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

std::string shown(const OptionValue& value) {
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(held)>>)
          return fmt::format("{}", held);
        else if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::string>)
          return held;
        else
          return fmt::format("{}", fmt::join(held, " "));
      },
      value);
}

std::string roff(const Option& option) {
  std::string name = (option.letter.empty() ? "" : "\\fB\\-" + roff(option.letter) + "\\fR, ") + "\\fB\\-\\-" +
                     roff(option.name) + "\\fR";
  if (!option.value_name.empty()) name += " \\fI" + roff(option.value_name) + "\\fR";
  const std::string otherwise = option.has_default ? " (default: " + shown(option.value) + ")" : "";
  return fmt::format(".TP\n{}\n{}\n", name, roff(option.help + otherwise));
}

std::string roff(const Told& command) {
  std::string text = fmt::format(".SS {}\n{}.\n", roff(command.name), roff(command.summary));
  text += fmt::format(".PP\n.nf\n{}\n.fi\n.PP\n{}\n", roff(command.usage.synopsis), roff(command.usage.summary));
  for (const Option& option : command.options) text += roff(option);
  return text;
}

std::string manual_page() {
  std::string text = fmt::format(".TH HOURGLASS 1 \"\" \"hourglass {}\" \"User Commands\"\n", roff(base::version()));
  text += R"(.SH NAME
hourglass \- GPU\-hours of a training run, before the GPUs are bought
.SH SYNOPSIS
.B hourglass
.I COMMAND
[\fIoptions\fR]
.SH DESCRIPTION
Simulates one training step of a language model operator by operator, on a cluster of GPUs and under a pipeline schedule,
and turns steps into GPU\-hours, days and dollars.
.PP
PLAN, MODEL, CLUSTER and PROFILE are names of what ships or paths of files: what holds a '/' or ends in .json is a path.
A path inside a file is relative to that file.
Every command has \fB\-\-help\fR.
.SH COMMANDS
)";
  for (const Told& command : all_commands()) text += roff(command);
  text += R"(.SH ENVIRONMENT
.TP
.B HOURGLASS_CONFIGS
a folder with clusters/, models/, plans/ and profiles/ in which names are looked for first
.TP
.B HOURGLASS_CPU
baseline, v3 or v4: the kernels of \fBbench\fR, \fBrun\fR and \fBnumerics\fR for this level of x86\-64, in place of the best
.SH FILES
.TP
.I share/hourglass/configs
what ships, beside the program's own folder
.SH EXIT STATUS
.TP
.B 0
success
.TP
.B 1
the input or the run is at fault, told in one line
.TP
.B 2
the command line is at fault
.TP
.B 3
a bound of \fBvalidate\fR is exceeded
.SH EXAMPLES
.nf
hourglass plan deepseek\-v3
hourglass simulate deepseek\-v3 \-\-set plan.cluster=h100
hourglass compare deepseek\-v3 \-\-clusters h800,h100
.fi
)";
  return text;
}

// ---- Completion.

using Words = std::vector<std::string>;

// What may stand for an argument: words, and files if `files`.
struct Choices {
  Words words;
  bool files = false;
};

Words words_in(const std::string& text) {
  Words words(1);
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_')
      words.back() += c;
    else if (!words.back().empty())
      words.emplace_back();
  }
  return words;
}

Choices names(base::Config kind) { return {base::config_names(kind), true}; }

Choices choices_of(const Option& option) {
  const std::string& value = option.value_name;
  if (option.name == "format") {
    static const Words formats = {"text", "json", "csv",      "jsonl",  "markdown", "svg",
                                  "dot",  "plan", "megatron", "layout", "letters",  "pytorch"};
    const Words told = words_in(option.help);
    Choices choices;
    std::copy_if(formats.begin(), formats.end(), std::back_inserter(choices.words),
                 [&](const std::string& each) { return std::find(told.begin(), told.end(), each) != told.end(); });
    return choices;
  }
  if (value == "CLUSTER") return names(base::Config::cluster);
  if (value == "PROFILE") return names(base::Config::profile);
  if (value == "MODEL") return names(base::Config::model);
  if (option.name == "clusters") return {base::config_names(base::Config::cluster)};
  if (option.name == "schedules") return {schedules::names()};
  if (value.find('|') != std::string::npos) return {words_in(value)};
  return {{}, value.starts_with("FILE") || value == "FOLDER"};
}

Choices positional_choices(const Told& command) {
  const Words& positional = command.usage.positional;
  if (positional.empty()) return {};
  const std::string& first = positional.front();
  if (first == "plan") return names(base::Config::plan);
  if (first == "config") return names(base::Config::model);
  if (first == "schedule" || command.name == "schedule") return {schedules::names(), first == "schedule"};
  if (first == "shell") return {{"bash", "zsh"}};
  Choices choices;
  if (first == "log-format") {
    choices = {hardware::import_formats(), true};
    choices.words.insert(choices.words.end(), {"kineto", "megatron"});
  } else if (command.name == "collective") {
    choices = {hardware::collective_names()};
    choices.words.insert(choices.words.end(), {"moe-dispatch", "moe-combine"});
  } else {
    choices.files = true;
  }
  return choices;
}

std::string bash_reply(const Choices& choices) {
  const std::string files = choices.files ? " $(compgen -f -- \"$word\")" : "";
  return fmt::format("COMPREPLY=($(compgen -W \"{}\" -- \"$word\"){})", fmt::join(choices.words, " "), files);
}

std::string bash_completion() {
  std::string cases, tops;
  for (const Told& command : all_commands()) {
    const bool nested = command.name.find(' ') != std::string::npos;
    if (!nested) tops += " " + command.name;
    std::string options = " --help", values;
    for (const Option& option : command.options) {
      options += " --" + option.name;
      if (option.value_name.empty()) continue;
      values += fmt::format("      --{}{}) {} ;;\n", option.name, option.letter.empty() ? "" : "|-" + option.letter,
                            bash_reply(choices_of(option)));
    }
    const std::string bare = bash_reply(positional_choices(command));
    cases += fmt::format(
        "    \"{}\")\n      case $before in\n{}      *) if [[ $word == -* ]]; then {}\n        else {}; fi ;;\n"
        "      esac ;;\n",
        command.name, values, bash_reply({words_in(options)}), bare);
  }
  return fmt::format(R"(# Completion of hourglass for bash, written by `hourglass completion bash`.
_hourglass() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}}
  compopt -o filenames 2>/dev/null
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "{} --help --version" -- "$word"))
    return
  fi
  [[ $command == schedule && ${{COMP_WORDS[2]}} == synthesize && $COMP_CWORD -gt 2 ]] && command="schedule synthesize"
  case $command in
{}  esac
}}
complete -F _hourglass hourglass
)",
                     tops.substr(1), cases);
}

// zsh reads bash's.
std::string zsh_completion() {
  return "#compdef hourglass\n# Completion of hourglass for zsh, written by `hourglass completion zsh`.\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash_completion();
}

}  // namespace

int man(const Invocation& invocation) {
  Values values;
  const Usage usage = {"hourglass man", "The manual page of all commands, for man: hourglass man | man -l -", {}};
  if (!parse(invocation, usage, Options(), values)) return 0;
  write_out(manual_page());
  return 0;
}

int completion(const Invocation& invocation) {
  Values values;
  const Usage usage = {"hourglass completion bash|zsh",
                       "Completion of commands, options and shipped names: source <(hourglass completion bash)",
                       {"shell"}};
  if (!parse(invocation, usage, Options(), values)) return 0;
  const std::string shell = required(values, "shell", "the shell");
  place_among({"bash", "zsh"}, shell, "shell", "hourglass completion");
  write_out(shell == "bash" ? bash_completion() : zsh_completion());
  return 0;
}

}  // namespace hourglass::cli
