#include "lookup.h"

#include <algorithm>
#include <string>
#include <vector>

#include "through.h"

namespace reflex {

namespace {

template <typename Relation>
bool is_called(const Relation& relation, std::string_view name) {
  return relation.name == name || std::ranges::find(relation.also, name) != relation.also.end();
}

template <typename Relation>
std::string_view first_beside_columns(const TableDef& table, const Relation& relation) {
  uint16_t column = 0;
  if (!find_column(table, relation.name, &column)) return relation.name;
  for (const std::string_view name : relation.also) {
    if (!find_column(table, name, &column)) return name;
  }
  return {};
}

template <typename Relation>
void add_names(const Relation& relation, std::vector<std::string_view>* out) {
  out->push_back(relation.name);
  out->insert(out->end(), relation.also.begin(), relation.also.end());
}

}  // namespace

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
    if (!from.forward[i].visible || !is_called(from.forward[i], name)) continue;
    *out = forward_step(schema, table, i);
    return true;
  }
  for (const ReverseDef& reverse : from.reverse) {
    if (!is_called(reverse, name)) continue;
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

std::string_view name_beside_columns(const TableDef& table, const ForwardDef& relation) {
  return first_beside_columns(table, relation);
}

std::string_view name_beside_columns(const TableDef& table, const ReverseDef& relation) {
  return first_beside_columns(table, relation);
}

std::string name_beside_columns(const SchemaDef& schema, uint32_t table, const Step& step) {
  const TableDef& from = schema.tables[table];
  if (!step.reverse) return std::string(name_beside_columns(from, from.forward[step.forward]));
  if (step.through) return {};
  for (const ReverseDef& reverse : from.reverse) {
    if (reverse.child == step.child && reverse.forward == step.forward)
      return std::string(name_beside_columns(from, reverse));
  }
  return {};
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
    if (known.visible) add_names(known, &names);
  }
  for (const ReverseDef& known : from.reverse) add_names(known, &names);
  for (const Through& known : through) names.push_back(known.name);
  return error_at("unknown_field", name.at, where + ".", suggestion(name.text, names));
}

}  // namespace reflex
