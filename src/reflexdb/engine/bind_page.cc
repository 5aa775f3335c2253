#include "bind_page.h"

#include "cursor.h"

namespace reflex {

namespace {

// The same for the same query, its fields and LIMIT aside.
uint64_t shape_of(const SchemaDef& schema, const ast::Selection& query) {
  uint64_t shape = query.shape;
  for (const uint8_t byte : schema.fingerprint) shape = shape * 31 + byte;
  for (const char c : query.name.text) shape = shape * 31 + static_cast<uint8_t>(c);
  return shape;
}

}  // namespace

QueryError bind_page(const SchemaDef& schema, const ast::Selection& query, Parameters parameters,
                     Plan* plan) {
  PlanSelection& root = plan->root;
  const TableDef& table = schema.tables[root.table];
  const bool in_own_order = root.grouping == nullptr && root.related_order.empty();
  const bool paged =
      query.limit && !query.offset && !table.primary_key.empty() && plan->key.empty() && in_own_order;
  if (!query.after && (!paged || query.order.empty())) return {};
  if (!paged) {
    return error_at(
        "syntax_error", query.after->at,
        "AFTER needs a query of one selection, of a table with a primary key, with LIMIT, without "
        "OFFSET, groups or an order by related values.");
  }
  root.page = std::make_unique<PlanPage>();
  root.page->keys = page_keys(table, root);
  root.page->shape = shape_of(schema, query);
  if (!query.after) return {};
  ast::Literal cursor = *query.after;
  if (cursor.kind == ast::Literal::Kind::kParameter) {
    QueryError error = bind_parameter(parameters, *query.after, Storage::kText, &cursor);
    if (!error.ok()) return error;
  }
  if (cursor.text.empty()) return {};  // the first page
  root.page->has_after = true;
  if (read_cursor(table, cursor.text, root.page.get())) return {};
  return error_at("type_mismatch", query.after->at,
                  "This is no cursor of this query; its table, condition or order is another.",
                  "take the cursor from the header Link of an answer to the same query");
}

}  // namespace reflex
