#include "field_keys.h"

#include "lookup.h"

namespace reflex {

namespace {

using Kind = ast::Field::Kind;

bool is_wildcard(const ast::Field& field) { return field.kind == Kind::kStar || field.kind == Kind::kDots; }

bool has_alias(const ast::Field& field) { return field.key.at != field.name.at; }

// The key of a relation without an alias. `taken` are the keys of fields that are no relations.
std::string relation_key(const SchemaDef& schema, uint32_t table, std::string_view name, bool wildcard,
                         const std::unordered_set<std::string_view>& taken) {
  uint16_t column = 0;
  Step step;
  const bool beside_column =
      taken.contains(name) || (wildcard && find_column(schema.tables[table], name, &column));
  if (!beside_column || !find_relation(schema, table, name, &step)) return std::string(name);
  std::string other = name_beside_columns(schema, table, step);
  return other.empty() ? std::string(name) : other;
}

}  // namespace

FieldKeys::FieldKeys(const SchemaDef& schema, uint32_t table, const ast::Selection& query) : query_(query) {
  bool wildcard = false;
  std::unordered_set<std::string_view> taken;
  for (const ast::Field& field : query.fields) {
    wildcard = wildcard || is_wildcard(field);
    if (!is_wildcard(field) && field.kind != Kind::kRelation) taken.insert(field.key.text);
  }
  keys_.reserve(query.fields.size());  // `asked_` refers to the keys
  for (const ast::Field& field : query.fields) {
    std::string& key = keys_.emplace_back();
    if (is_wildcard(field)) continue;
    key = field.key.text;
    if (field.kind == Kind::kRelation && !has_alias(field)) {
      relations_.insert(field.name.text);
      key = relation_key(schema, table, field.name.text, wildcard, taken);
    }
    asked_.insert(key);
  }
}

QueryError FieldKeys::check() const {
  size_t wildcards = 0;
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < keys_.size(); ++i) {
    const ast::Field& field = query_.fields[i];
    if (is_wildcard(field) && ++wildcards > 1) {
      return error_at("syntax_error", field.name.at, "One wildcard is enough: `...` contains `*`.");
    }
    if (is_wildcard(field) || seen.insert(keys_[i]).second) continue;
    return error_at("syntax_error", field.key.at, "The field " + quote(keys_[i]) + " is asked for twice.",
                    "an alias tells them apart: other: " + field.name.text);
  }
  return {};
}

}  // namespace reflex
