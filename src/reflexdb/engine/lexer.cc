#include "lexer.h"

#include <algorithm>

#include "utf8.h"

namespace reflex {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

bool continues_name(char c) { return starts_name(c) || is_digit(c); }

}  // namespace

bool same_word(std::string_view a, std::string_view upper) {
  return a.size() == upper.size() && std::equal(a.begin(), a.end(), upper.begin(), [](char x, char y) {
           return (x >= 'a' && x <= 'z' ? static_cast<char>(x - 32) : x) == y;
         });
}

Lexer::Lexer(std::string_view text) : text_(text) {
  if (text_.starts_with("\xEF\xBB\xBF")) i_ = 3;  // a byte order mark says nothing in UTF-8
}

void Lexer::skip_space() {
  while (i_ < text_.size()) {
    const char c = text_[i_];
    if (c == '#') {
      i_ = std::min(text_.find('\n', i_), text_.size());
    } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++i_;
    } else {
      return;
    }
  }
}

Token Lexer::fail(size_t at, std::string message, std::string hint) {
  error_ = error_at("syntax_error", at, std::move(message), std::move(hint));
  i_ = text_.size();
  Token end;
  end.at = at;
  return end;
}

Token Lexer::next() {
  skip_space();
  if (i_ >= text_.size()) {
    Token end;
    end.at = text_.size();
    return end;
  }
  const char c = text_[i_];
  if (starts_name(c)) return plain_name();
  if (is_digit(c) || c == '-') return number();
  if (c == '"') return double_quoted();
  if (c == '\'') return single_quoted();
  if (c == '`') return backquoted_name();
  return symbol();
}

Token Lexer::symbol() {
  Token token{TokenKind::kSymbol, false, {}, {}, i_};
  for (const std::string_view known :
       {"...", "!=", "<=", ">=", "<>", "(", ")", "{", "}", ",", ".", "=", "<", ">", "*", "$", ":"}) {
    if (!text_.substr(i_).starts_with(known)) continue;
    token.text = text_.substr(i_, known.size());
    i_ += known.size();
    return token;
  }
  const auto byte = static_cast<uint8_t>(text_[i_]);
  const std::string shown = byte < 0x20 || byte == 0x7F ? "the control character " + std::to_string(byte)
                                                        : quote(text_.substr(i_, 1));
  return fail(i_, "A query has no place for " + shown + ".");
}

Token Lexer::number() {
  const size_t at = i_;
  const auto digits = [this] {
    const size_t from = i_;
    while (i_ < text_.size() && is_digit(text_[i_])) ++i_;
    return i_ > from;
  };
  if (text_[i_] == '-') ++i_;
  bool good = digits();
  if (good && i_ < text_.size() && text_[i_] == '.') {
    ++i_;
    good = digits();
  }
  if (good && i_ < text_.size() && (text_[i_] == 'e' || text_[i_] == 'E')) {
    ++i_;
    if (i_ < text_.size() && (text_[i_] == '+' || text_[i_] == '-')) ++i_;
    good = digits();
  }
  if (!good || (i_ < text_.size() && continues_name(text_[i_]))) {
    return fail(at, "This is not a number.",
                "numbers are written like 42, -1.5 or 1e3; text goes between quotes");
  }
  return Token{TokenKind::kNumber, false, text_.substr(at, i_ - at), {}, at};
}

Token Lexer::plain_name() {
  const size_t at = i_;
  while (i_ < text_.size() && continues_name(text_[i_])) ++i_;
  const std::string_view name = text_.substr(at, i_ - at);
  return Token{TokenKind::kName, false, name, std::string(name), at};
}

Token Lexer::backquoted_name() {
  Token token{TokenKind::kName, true, {}, {}, i_};
  for (++i_; i_ < text_.size(); ++i_) {
    if (text_[i_] != '`') {
      token.value.push_back(text_[i_]);
    } else if (text_.substr(i_ + 1).starts_with('`')) {
      token.value.push_back('`');
      ++i_;
    } else {
      ++i_;
      token.text = text_.substr(token.at, i_ - token.at);
      return token;
    }
  }
  return fail(token.at, "This name has no closing backquote.");
}

Token Lexer::single_quoted() {
  Token token{TokenKind::kString, false, {}, {}, i_};
  for (++i_; i_ < text_.size(); ++i_) {
    if (text_[i_] != '\'') {
      token.value.push_back(text_[i_]);
    } else if (text_.substr(i_ + 1).starts_with('\'')) {
      token.value.push_back('\'');
      ++i_;
    } else {
      ++i_;
      token.text = text_.substr(token.at, i_ - token.at);
      return token;
    }
  }
  return fail(token.at, "This string has no closing quote.");
}

Token Lexer::double_quoted() {
  Token token{TokenKind::kString, false, {}, {}, i_};
  ++i_;
  while (i_ < text_.size()) {
    const char c = text_[i_++];
    if (c == '"') {
      token.text = text_.substr(token.at, i_ - token.at);
      return token;
    }
    if (c != '\\') {
      token.value.push_back(c);
      continue;
    }
    const size_t at = i_ - 1;
    std::string problem;
    if (!escape(&token.value, &problem)) return fail(at, problem, "a backslash itself is written \\\\");
  }
  return fail(token.at, "This string has no closing quote.");
}

bool Lexer::hex4(uint32_t* code) {
  *code = 0;
  for (int k = 0; k < 4; ++k, ++i_) {
    if (i_ >= text_.size()) return false;
    const char c = text_[i_];
    const int digit = is_digit(c)            ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    *code = *code * 16 + static_cast<uint32_t>(digit);
  }
  return true;
}

// Behind a backslash: JSON's escapes.
bool Lexer::escape(std::string* value, std::string* problem) {
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeans = "\"\\/\b\f\n\r\t";
  *problem = "This is not an escape that JSON knows.";
  if (i_ >= text_.size()) return false;
  const char c = text_[i_++];
  const size_t letter = kLetters.find(c);
  if (letter != std::string_view::npos) {
    value->push_back(kMeans[letter]);
    return true;
  }
  uint32_t code = 0;
  if (c != 'u' || !hex4(&code)) return false;
  *problem = "This escape is half of a surrogate pair; it stands for no character.";
  if (code >= 0xDC00 && code <= 0xDFFF) return false;
  if (code >= 0xD800 && code <= 0xDBFF) {
    uint32_t low = 0;
    if (!text_.substr(i_).starts_with("\\u")) return false;
    i_ += 2;
    if (!hex4(&low) || low < 0xDC00 || low > 0xDFFF) return false;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  utf8_append(value, code);
  return true;
}

}  // namespace reflex
