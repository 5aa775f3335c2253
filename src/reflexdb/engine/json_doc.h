// Small JSON documents of the private socket: strict reading into a tree, and quoting text for writing.
// For orders of a few kilobytes, not for rows or answers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reflex::net {

struct JsonMember;

struct JsonValue {
  enum class Kind : uint8_t { kNull, kBool, kInteger, kReal, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  int64_t integer = 0;
  std::string text;
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;

  bool is(Kind wanted) const { return kind == wanted; }
  // The member of an object, or null.
  const JsonValue* find(std::string_view name) const;
};

// One name and value of an object. It is a type of its own because a vector may hold a type that is not
// complete yet, and a pair may not.
struct JsonMember {
  std::string name;
  JsonValue value;
};

// One JSON value in valid UTF-8 with nothing but spaces around it, at most 32 levels deep. False: it is not.
bool parse_json(std::string_view text, JsonValue* value);

// Appends `text` as a JSON string; bytes that are not UTF-8 become U+FFFD.
void append_quoted(std::string* out, std::string_view text);

}  // namespace reflex::net
