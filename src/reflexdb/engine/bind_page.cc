#include "bind_page.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "cursor.h"

namespace reflex {

namespace {

constexpr std::string_view kAfter = "after";

// Calls `visit` with the name of each parameter of the condition.
template <typename Visitor>
void each_parameter(const ast::Expr& expr, Visitor& visit) {
  for (const ast::Literal& literal : expr.literals) {
    if (literal.kind == ast::Literal::Kind::kParameter) visit(literal.text);
  }
  for (const auto& kid : expr.kids) each_parameter(*kid, visit);
}

// The same for a whole selection but its AFTER, fields included.
template <typename Visitor>
void each_parameter(const ast::Selection& query, Visitor& visit) {
  if (query.where != nullptr) each_parameter(*query.where, visit);
  if (query.having != nullptr) each_parameter(*query.having, visit);
  for (const auto& count : {query.limit, query.offset}) {
    if (count && !count->parameter.empty()) visit(count->parameter);
  }
  for (const ast::Field& field : query.fields) {
    if (field.selection != nullptr) each_parameter(*field.selection, visit);
  }
}

uint64_t mix(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = hash * 31 + static_cast<uint8_t>(c);
  return hash * 31 + 0xFF;  // which UTF-8 does not have
}

// The same for the same query, its fields and LIMIT aside: a page begins where another with the same
// condition ended. Values of parameters belong to the condition.
uint64_t shape_of(const SchemaDef& schema, const ast::Selection& query, Parameters parameters) {
  uint64_t shape = query.shape;
  for (const uint8_t byte : schema.fingerprint) shape = shape * 31 + byte;
  shape = mix(shape, query.name.text);
  const auto add = [&](const std::string& name) {
    for (const Parameter& parameter : parameters) {
      if (parameter.name == name) shape = mix(mix(shape, name), parameter.value);
    }
  };
  if (query.where != nullptr) each_parameter(*query.where, add);
  return shape;
}

bool is_plain(std::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// The URL's parameter by which the next page is asked for. The query's own where AFTER has one, else `after`,
// unless the query uses that for something else.
std::string page_parameter(const ast::Selection& query) {
  if (query.after && query.after->kind == ast::Literal::Kind::kParameter) {
    return is_plain(query.after->text) ? query.after->text : std::string();
  }
  bool taken = false;
  const auto look = [&](const std::string& name) { taken = taken || name == kAfter; };
  each_parameter(query, look);
  return taken ? std::string() : std::string(kAfter);
}

// A key that may be null is none: several rows may have the same.
bool has_total_key(const TableDef& table) {
  return !table.primary_key.empty() && std::ranges::none_of(table.primary_key, [&](uint16_t column) {
    return table.columns[column].nullable;
  });
}

// Brings into `cursor` the text of the cursor that the page begins behind; empty for the first page.
QueryError page_begin(const ast::Selection& query, Parameters parameters, PlanPage* page,
                      ast::Literal* cursor) {
  const bool named = query.after && query.after->kind == ast::Literal::Kind::kParameter;
  if (query.after) *cursor = *query.after;
  page->from_url = named;
  if (!named && page->parameter == kAfter) {
    page->from_url =
        std::ranges::any_of(parameters, [](const Parameter& given) { return given.name == kAfter; });
    if (page->from_url) cursor->text = kAfter;
  }
  if (!page->from_url) return {};
  const ast::Literal use = *cursor;
  return bind_parameter(parameters, use, Storage::kText, cursor);
}

}  // namespace

QueryError bind_page(const SchemaDef& schema, const ast::Selection& query, Parameters parameters,
                     Plan* plan) {
  PlanSelection& root = plan->root;
  const TableDef& table = schema.tables[root.table];
  const bool in_own_order = root.grouping == nullptr && root.related_order.empty();
  const bool paged =
      query.limit && !query.offset && has_total_key(table) && plan->key.empty() && in_own_order;
  if (!query.after && (!paged || query.order.empty())) return {};
  if (!paged) {
    return error_at(
        "syntax_error", query.after->at,
        "AFTER needs a query of one selection, of a table with a primary key without nulls, with LIMIT, "
        "without OFFSET, groups or an order by related values.");
  }
  root.page = std::make_unique<PlanPage>();
  root.page->keys = page_keys(table, root);
  root.page->shape = shape_of(schema, query, parameters);
  root.page->parameter = page_parameter(query);
  ast::Literal cursor;
  cursor.at = query.clauses_at;
  QueryError error = page_begin(query, parameters, root.page.get(), &cursor);
  if (!error.ok()) return error;
  if (cursor.text.empty()) return {};  // the first page
  root.page->has_after = true;
  if (read_cursor(table, cursor.text, root.page.get())) return {};
  return error_at("type_mismatch", cursor.at,
                  "This is no cursor of this query; its table, condition, parameters or order are others.",
                  "take the cursor from the header Link of an answer to the same query");
}

}  // namespace reflex
