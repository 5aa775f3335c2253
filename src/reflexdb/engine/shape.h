// A query's shape: its text with the literals behind `=`, `!=`, `<`, `<=`, `>` and `>=` taken out, so that
// `users(id = 17)` and `users(id = 18)` share one plan.
//
// The scan only splits the text as the lexer would; whether a literal can be exchanged is known once a query
// of the shape has been bound (plan.h, Site). What it does not understand stays in the key as written, which
// costs a plan of its own and never a wrong one. Keeps its buffers from text to text; borrows the text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reflex {

struct ShapeLiteral {
  bool is_string = false;
  std::string_view text;  // the number as written, or what stands between the quotes
  size_t at = 0;          // of its first byte, a quote included
};

class Shape {
 public:
  // Any bytes.
  void scan(std::string_view text);

  // Different for texts that differ in more than `literals`.
  std::string_view key() const { return key_; }
  std::span<const ShapeLiteral> literals() const { return literals_; }

 private:
  size_t literal(size_t i, bool compared, size_t kept);
  size_t number_end(size_t i) const;
  size_t string_end(size_t i, bool* plain) const;

  std::string_view text_;
  std::string key_;
  std::vector<ShapeLiteral> literals_;
};

}  // namespace reflex
