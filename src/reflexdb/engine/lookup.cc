#include "lookup.h"

#include <string>
#include <vector>

#include "through.h"

namespace reflex {

bool find_column(const TableDef& table, std::string_view name, uint16_t* out) {
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (!table.columns[i].visible || table.columns[i].name != name) continue;
    *out = static_cast<uint16_t>(i);
    return true;
  }
  return false;
}

Step forward_step(const SchemaDef& schema, uint32_t table, size_t index) {
  return {false, table, static_cast<uint32_t>(index), schema.tables[table].forward[index].target, false, 0};
}

Step reverse_step(const ReverseDef& reverse) {
  return {true, reverse.child, reverse.forward, reverse.child, false, 0};
}

bool find_relation(const SchemaDef& schema, uint32_t table, std::string_view name, Step* out) {
  const TableDef& from = schema.tables[table];
  for (size_t i = 0; i < from.forward.size(); ++i) {
    if (!from.forward[i].visible || from.forward[i].name != name) continue;
    *out = forward_step(schema, table, i);
    return true;
  }
  for (const ReverseDef& reverse : from.reverse) {
    if (reverse.name != name) continue;
    *out = reverse_step(reverse);
    return true;
  }
  for (const Through& through : through_relations(schema, table)) {
    if (through.name != name) continue;
    *out = through.step;
    return true;
  }
  return false;
}

QueryError unknown_field(const SchemaDef& schema, uint32_t table, const ast::Name& name, const char* wanted) {
  const TableDef& from = schema.tables[table];
  uint16_t column = 0;
  Step step;
  const std::string where = "Table " + quote(from.name) + " has no " + wanted + " " + quote(name.text);
  if (find_column(from, name.text, &column)) {
    return error_at("unknown_field", name.at, where + "; that is a column.");
  }
  if (find_relation(schema, table, name.text, &step)) {
    return error_at("unknown_field", name.at, where + "; that is a relation.",
                    "say which of its fields: " + name.text + " { id } or " + name.text + " { * }");
  }
  const std::vector<Through> through = through_relations(schema, table);
  std::vector<std::string_view> names;
  for (const ColumnDef& known : from.columns) {
    if (known.visible) names.push_back(known.name);
  }
  for (const ForwardDef& known : from.forward) {
    if (known.visible) names.push_back(known.name);
  }
  for (const ReverseDef& known : from.reverse) names.push_back(known.name);
  for (const Through& known : through) names.push_back(known.name);
  return error_at("unknown_field", name.at, where + ".", suggestion(name.text, names));
}

}  // namespace reflex
