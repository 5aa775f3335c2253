#include "parameters.h"

#include <charconv>
#include <cstdint>

#include "lexer.h"
#include "utf8.h"

namespace reflex {

namespace {

QueryError find(Parameters parameters, const std::string& name, size_t at, std::string_view* out) {
  bool found = false;
  for (const Parameter& parameter : parameters) {
    if (parameter.name != name) continue;
    if (found) {
      return error_at("type_mismatch", at,
                      "The parameter " + quote("$" + name) + " is given more than once.");
    }
    found = true;
    *out = parameter.value;
  }
  if (found) return {};
  return error_at("missing_parameter", at, "The parameter " + quote("$" + name) + " is not given.",
                  "give it in the URL: /query?" + name + "=...");
}

bool is_number(std::string_view text) {
  if (utf8_error(text) != std::string_view::npos) return false;
  Lexer lexer(text);
  const Token token = lexer.next();
  return token.kind == TokenKind::kNumber && token.text == text;
}

bool takes_numbers(Storage storage) {
  switch (storage) {
    case Storage::kBool:
    case Storage::kI16:
    case Storage::kI32:
    case Storage::kI64:
    case Storage::kU64:
    case Storage::kF32:
    case Storage::kF64:
    case Storage::kDecimal:
      return true;
    default:
      return false;
  }
}

}  // namespace

QueryError bind_parameter(Parameters parameters, const ast::Literal& use, Storage storage,
                          ast::Literal* out) {
  std::string_view value;
  QueryError error = find(parameters, use.text, use.at, &value);
  if (!error.ok()) return error;
  if (utf8_error(value) != std::string_view::npos) {
    return error_at("type_mismatch", use.at,
                    "The parameter " + quote("$" + use.text) + " is not valid UTF-8.");
  }
  out->kind = ast::Literal::Kind::kString;
  out->text = value;
  out->parameter = use.text;
  out->at = use.at;
  if (!takes_numbers(storage)) return {};
  if (is_number(value)) out->kind = ast::Literal::Kind::kNumber;
  if (storage == Storage::kBool && same_word(value, "TRUE")) out->kind = ast::Literal::Kind::kTrue;
  if (storage == Storage::kBool && same_word(value, "FALSE")) out->kind = ast::Literal::Kind::kFalse;
  return {};
}

QueryError bind_count(Parameters parameters, const ast::Count& count, uint64_t* out) {
  *out = count.value;
  if (count.parameter.empty()) return {};
  std::string_view value;
  QueryError error = find(parameters, count.parameter, count.at, &value);
  if (!error.ok()) return error;
  const char* end = value.data() + value.size();
  const auto result = std::from_chars(value.data(), end, *out);
  if (result.ec == std::errc() && result.ptr == end) return {};
  return error_at("type_mismatch", count.at,
                  "The parameter " + quote("$" + count.parameter) +
                      " must be a whole number that is not negative, not " + quote(value) + ".");
}

}  // namespace reflex
