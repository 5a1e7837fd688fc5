#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/fields.h"

// Strict JSON: what nlohmann/json accepts silently (duplicate keys, unknown keys, overflow to infinity, deep nesting)
// is an error here that names file, JSON path and what to do.
namespace hourglass::base {

// A parsed file: `text_hash` is the 64-bit FNV-1a of its bytes, for provenance.
struct JsonFile {
  std::string path;
  std::uint64_t text_hash = 0;
  Json value;
};

inline constexpr std::size_t largest_json_bytes = 4u << 20;
inline constexpr int deepest_json = 64;
inline constexpr std::size_t most_json_keys = 2000;  // of one object: they are looked up one after another

// Parses text; `file` is only named in errors. Throws Error on syntax, duplicate keys, more than `deepest_json` levels,
// more than `largest` bytes, or a number outside double's range. // comments are allowed.
Json parse_json(std::string_view text, const std::string& file, std::size_t largest = largest_json_bytes);

// Reads and parses a file. Throws Error if it is absent, a folder, or as parse_json does.
JsonFile load_json(const std::string& path, std::size_t largest = largest_json_bytes);

std::uint64_t fnv1a(std::string_view bytes);

// Applies --set overrides "key.sub=value" to a document; value is JSON if it parses as such (and then as strict as a
// file), else a string.
// List items are named by index ("stages.0.tokens"). The parent must exist; an unknown last key is left for the strict
// reader to refuse. Throws UsageError on malformed text.
void apply_override(Json& document, std::string_view assignment);

}  // namespace hourglass::base
