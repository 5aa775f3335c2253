// A query's text as tokens, one at a time. Never reads beyond the text, whatever its bytes.
//
// Tokens borrow the text. A faulty token is reported once through `error()`; from then on every token is
// kEnd.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "query_error.h"

namespace reflex {

enum class TokenKind : uint8_t { kEnd, kName, kString, kNumber, kSymbol };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  bool backquoted = false;  // a kName that can't be a keyword
  std::string_view text;    // as written; for symbols `!=`, `<=`, `>=`, `<>`, `...` or one character
  std::string value;        // decoded name or string
  size_t at = 0;
};

class Lexer {
 public:
  // Requires: `text` is valid UTF-8.
  explicit Lexer(std::string_view text);

  Token next();
  const QueryError& error() const { return error_; }

 private:
  void skip_space();
  Token fail(size_t at, std::string message, std::string hint = {});
  Token symbol();
  Token number();
  Token plain_name();
  Token backquoted_name();
  Token double_quoted();
  Token single_quoted();
  bool escape(std::string* value, std::string* problem);
  bool hex4(uint32_t* code);

  std::string_view text_;
  size_t i_ = 0;
  QueryError error_;
};

// Letter case aside, for ASCII words.
bool same_word(std::string_view a, std::string_view upper);

}  // namespace reflex
