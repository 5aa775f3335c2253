#include "shape.h"

#include <algorithm>
#include <array>

namespace reflex {

namespace {

// What stands in the key for a literal; a query has no place for these bytes but within quotes.
constexpr char kNumberMark = '\x01';
constexpr char kStringMark = '\x02';
constexpr char kStrangeMark = '\x03';

// Longer ones stay in the key, so that the room they take counts where texts are counted.
constexpr size_t kLongestLiteral = 4096;

enum class Class : uint8_t { kOther, kSpace, kName, kDigit, kMinus, kQuote, kComparison, kComment, kStrange };

constexpr std::array<Class, 256> make_classes() {
  std::array<Class, 256> classes{};
  for (size_t c = 0; c < 0x20; ++c) classes[c] = Class::kStrange;
  for (const char c : {' ', '\t', '\n', '\r'}) classes[static_cast<uint8_t>(c)] = Class::kSpace;
  for (size_t c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    if (letter) classes[c] = Class::kName;
    if (c >= '0' && c <= '9') classes[c] = Class::kDigit;
  }
  for (const char c : {'"', '\'', '`'}) classes[static_cast<uint8_t>(c)] = Class::kQuote;
  for (const char c : {'=', '<', '>'}) classes[static_cast<uint8_t>(c)] = Class::kComparison;
  classes['-'] = Class::kMinus;
  classes['#'] = Class::kComment;
  return classes;
}

constexpr std::array<Class, 256> kClasses = make_classes();

Class class_of(char c) { return kClasses[static_cast<uint8_t>(c)]; }

bool continues_name(char c) { return class_of(c) == Class::kName || class_of(c) == Class::kDigit; }

}  // namespace

void Shape::scan(std::string_view text) {
  text_ = text;
  key_.clear();
  literals_.clear();
  size_t kept = 0;        // of the text, in the key
  bool compared = false;  // the last piece was a comparison
  for (size_t i = 0; i < text.size();) {
    switch (class_of(text[i])) {
      case Class::kName:
        do ++i;
        while (i < text.size() && continues_name(text[i]));
        compared = false;
        break;
      case Class::kSpace:
        ++i;
        break;
      case Class::kComment:
        i = std::min(text.find('\n', i), text.size());
        break;
      case Class::kComparison:
        ++i;
        compared = true;
        break;
      case Class::kOther:
        ++i;
        compared = false;
        break;
      case Class::kStrange:
        key_.assign(1, kStrangeMark).append(text);  // no other text's key begins so
        literals_.clear();
        return;
      case Class::kDigit:
      case Class::kMinus:
      case Class::kQuote: {
        const size_t before = literals_.size();
        i = literal(i, compared, kept);
        if (literals_.size() > before) kept = i;
        compared = false;
        break;
      }
    }
  }
  key_.append(text, kept);
}

// Returns the end of the number or string at `i`. Where it can be exchanged, it is taken out: the key gets
// the text from `kept` up to it, and its mark.
size_t Shape::literal(size_t i, bool compared, size_t kept) {
  const bool is_string = class_of(text_[i]) == Class::kQuote;
  bool plain = true;
  const size_t end = is_string ? string_end(i, &plain) : number_end(i);
  if (end == 0) return i + 1;  // no number after all
  if (!compared || !plain || end - i > kLongestLiteral) return end;
  key_.append(text_, kept, i - kept);
  key_.push_back(is_string ? kStringMark : kNumberMark);
  literals_.push_back(
      {is_string, is_string ? text_.substr(i + 1, end - i - 2) : text_.substr(i, end - i), i});
  return end;
}

// As Lexer::number; 0 where it would complain.
size_t Shape::number_end(size_t i) const {
  const auto digits = [this, &i] {
    const size_t from = i;
    while (i < text_.size() && class_of(text_[i]) == Class::kDigit) ++i;
    return i > from;
  };
  if (text_[i] == '-') ++i;
  if (!digits()) return 0;
  if (i < text_.size() && text_[i] == '.') {
    ++i;
    if (!digits()) return 0;
  }
  if (i < text_.size() && (text_[i] == 'e' || text_[i] == 'E')) {
    ++i;
    if (i < text_.size() && (text_[i] == '+' || text_[i] == '-')) ++i;
    if (!digits()) return 0;
  }
  return i < text_.size() && continues_name(text_[i]) ? 0 : i;
}

// Behind the closing quote, or the text's end where there is none. `*plain`: a string that means what stands
// between its quotes.
size_t Shape::string_end(size_t i, bool* plain) const {
  const char quote = text_[i];
  bool escapes = false;
  for (++i; i < text_.size(); ++i) {
    if (text_[i] == '\\' && quote == '"') {
      escapes = true;
      ++i;
    } else if (text_[i] == quote) {
      if (quote == '"' || i + 1 == text_.size() || text_[i + 1] != quote) {
        *plain = !escapes && quote != '`';
        return i + 1;
      }
      escapes = true;  // a doubled quote
      ++i;
    }
  }
  *plain = false;
  return text_.size();
}

}  // namespace reflex
