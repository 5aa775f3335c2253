#include "openapi.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "json_doc.h"
#include "lookup.h"
#include "query_error.h"
#include "through.h"
#include "version.h"

namespace reflex::net {
namespace {

// The JSON type of a storage, as members of a JSON Schema without the braces; empty where any value may
// stand.
std::string_view json_type(Storage storage) {
  switch (storage) {
    case Storage::kBool:
      return "boolean";
    case Storage::kI16:
    case Storage::kI32:
    case Storage::kI64:
    case Storage::kU64:
      return "integer";
    case Storage::kF32:
    case Storage::kF64:
    case Storage::kDecimal:
      return "number";
    case Storage::kDate:
    case Storage::kDatetime:
    case Storage::kTimestamp:
    case Storage::kTime:
    case Storage::kText:
    case Storage::kEnum:
    case Storage::kInterval:
    case Storage::kUuid:
    case Storage::kBinary:
      return "string";
    case Storage::kJson:
      return "";
  }
  return "";
}

std::string_view format_of(Storage storage) {
  switch (storage) {
    case Storage::kDate:
      return ",\"format\":\"date\"";
    case Storage::kTimestamp:
      return ",\"format\":\"date-time\"";
    case Storage::kUuid:
      return ",\"format\":\"uuid\"";
    case Storage::kBinary:
      return ",\"contentEncoding\":\"base64\"";
    default:
      return "";
  }
}

// Floats answer NaN and infinities as null, decimals too.
bool may_be_null(const ColumnDef& column) {
  return column.nullable || column.storage == Storage::kF32 || column.storage == Storage::kF64 ||
         column.storage == Storage::kDecimal;
}

void append_column(std::string* out, const ColumnDef& column) {
  append_quoted(out, column.name);
  *out += ":{";
  if (const std::string_view type = json_type(column.storage); !type.empty()) {
    *out += may_be_null(column) ? "\"type\":[\"" : "\"type\":\"";
    *out += type;
    *out += may_be_null(column) ? "\",\"null\"]" : "\"";
    *out += format_of(column.storage);
    *out += ',';
  }
  if (!column.note.empty()) {
    *out += "\"description\":";
    append_quoted(out, column.note);
    *out += ',';
  }
  *out += "\"x-sql-type\":";
  append_quoted(out, column.declared);
  *out += '}';
}

// The names that a relation may be selected by beside the one it is described under.
template <typename Relation>
std::string other_names(const Relation& relation, std::string_view described) {
  std::string names;
  const auto add = [&](std::string_view name) {
    if (name == described) return;
    names += names.empty() ? " Also selected as " : ", ";
    names += quote(name);
  };
  add(relation.name);
  for (const std::string_view name : relation.also) add(name);
  return names.empty() ? names : names + ".";
}

// A component's name must match [a-zA-Z0-9._-]+, which a table's need not: so it is the index, and the name
// is its title.
void append_reference(std::string* out, size_t table) {
  *out += "{\"$ref\":\"#/components/schemas/table" + std::to_string(table) + "\"}";
}

void append_properties(std::string* out, const SchemaDef& schema, uint32_t index) {
  const TableDef& table = schema.tables[index];
  bool first = true;
  auto separate = [&] {
    if (!std::exchange(first, false)) *out += ',';
  };
  for (const ColumnDef& column : table.columns) {
    if (!column.visible) continue;
    separate();
    append_column(out, column);
  }
  // A relation that has a column's name stands here by another: one object can't have both under one name.
  for (const ForwardDef& forward : table.forward) {
    const std::string_view name = name_beside_columns(table, forward);
    if (!forward.visible || name.empty()) continue;
    separate();
    append_quoted(out, name);
    *out += ":{\"description\":";
    append_quoted(out, "Related row, or null. Answered where it is selected." + other_names(forward, name));
    *out += ",\"oneOf\":[";
    append_reference(out, forward.target);
    *out += ",{\"type\":\"null\"}]}";
  }
  for (const ReverseDef& reverse : table.reverse) {
    const std::string_view name = name_beside_columns(table, reverse);
    if (name.empty()) continue;
    separate();
    append_quoted(out, name);
    *out += ":{\"description\":";
    append_quoted(out, "Related rows. Answered where they are selected." + other_names(reverse, name));
    *out += ",\"type\":\"array\",\"items\":";
    append_reference(out, reverse.child);
    *out += '}';
  }
  for (const Through& through : through_relations(schema, index)) {
    separate();
    append_quoted(out, through.name);
    const std::string by(schema.tables[through.step.child].name);
    *out += ":{\"description\":";
    append_quoted(out, "Related rows through " + by + ". Answered where they are selected.");
    *out += ",\"type\":\"array\",\"items\":";
    append_reference(out, through.step.to);
    *out += '}';
  }
}

void append_table(std::string* out, const SchemaDef& schema, uint32_t index) {
  const TableDef& table = schema.tables[index];
  *out += "\"table" + std::to_string(index) + "\":{\"title\":";
  append_quoted(out, table.name);
  *out += ",\"type\":\"object\",\"properties\":{";
  append_properties(out, schema, index);
  *out += "},\"x-primary-key\":[";
  bool first = true;
  for (uint16_t column : table.primary_key) {
    if (!std::exchange(first, false)) *out += ',';
    append_quoted(out, table.columns[column].name);
  }
  *out += "]}";
}

// As the control plane says it of the build.
void append_not_served(std::string* out, const SchemaDef& schema) {
  auto member = [out](std::string_view name, std::string_view value) {
    *out += name;
    if (value.empty()) {
      *out += "null";
    } else {
      append_quoted(out, value);
    }
  };
  *out += "\"x-notServed\":[";
  bool first = true;
  for (const NotServedDef& entry : schema.not_served) {
    if (!std::exchange(first, false)) *out += ',';
    *out += "{\"table\":";
    append_quoted(out, entry.table);
    member(",\"column\":", entry.column);
    member(",\"relation\":", entry.relation);
    *out += ",\"cause\":";
    append_quoted(out, entry.cause);
    *out += ",\"reason\":";
    append_quoted(out, entry.reason);
    *out += ",\"remedy\":";
    append_quoted(out, entry.remedy);
    *out += '}';
  }
  *out += "],";
}

constexpr std::string_view kResponses = R"("responses":{
"200":{"description":"An array of objects, keys in the order they were asked for","headers":{
"X-ReflexDB-Version":{"schema":{"type":"integer"},"description":"Version of the snapshot"},
"X-ReflexDB-Position":{"schema":{"type":"string"},"description":"What of the source's history the snapshot has"},
"X-ReflexDB-Stale-Tables":{"schema":{"type":"string"},"description":"Tables of the answer that can't be brought up to date"},
"X-ReflexDB-Snapshot-Age-Ms":{"schema":{"type":"integer"},"description":"How far the source may be ahead"}},
"content":{"application/json":{"schema":{"type":"array","items":{"oneOf":[)";

constexpr std::string_view kWaiting =
    R"({"name":"X-ReflexDB-Min-Position","in":"header","schema":{"type":"string"},
"description":"Answer from a snapshot that has this position of the source, or version"},
{"name":"X-ReflexDB-Wait-Ms","in":"header","schema":{"type":"integer"},"description":"How long to wait for it"}])";

constexpr std::string_view kErrors = R"(]}}},
"application/x-ndjson":{},"text/csv":{},"application/vnd.apache.arrow.stream":{},"text/event-stream":{}}},
"400":{"$ref":"#/components/responses/Error"},"401":{"$ref":"#/components/responses/Error"},
"406":{"$ref":"#/components/responses/Error"},
"413":{"$ref":"#/components/responses/Error"},"422":{"$ref":"#/components/responses/Error"},
"503":{"$ref":"#/components/responses/Error"}}})";

constexpr std::string_view kComponents = R"("components":{
"securitySchemes":{"key":{"type":"http","scheme":"bearer","description":"An API key rxk_<keyId>.<hmac>"}},
"responses":{"Error":{"description":"Refused","content":{"application/json":{"schema":{"$ref":"#/components/schemas/error"}}}}},
"schemas":{"error":{"type":"object","required":["error","message"],"properties":{"error":{"type":"string"},
"message":{"type":"string"},"line":{"type":"integer"},"column":{"type":"integer"},"hint":{"type":"string"}}})";

}  // namespace

std::string openapi_document(const SchemaDef& schema) {
  std::string out = "{\"openapi\":\"3.1.0\",\"info\":{\"title\":";
  append_quoted(&out, schema.name);
  out += ",\"version\":\"";
  out += kEngineVersion;
  out += "\"},";
  append_not_served(&out, schema);
  out += "\"security\":[{\"key\":[]}],\"paths\":{\"/query\":{";
  std::string responses(kResponses);
  for (size_t i = 0; i < schema.tables.size(); ++i) {
    if (i > 0) responses += ',';
    append_reference(&responses, i);
  }
  responses += kErrors;
  out +=
      "\"post\":{\"operationId\":\"query\",\"summary\":\"Answer a "
      "query\",\"parameters\":[";
  out += kWaiting;
  out += ",\"requestBody\":{\"required\":true,";
  out += "\"content\":{\"text/plain\":{\"schema\":{\"type\":\"string\"}}}},";
  out += responses;
  out +=
      ",\"get\":{\"operationId\":\"queryByUrl\",\"summary\":\"Answer a query given in the "
      "URL\",\"parameters\":[";
  out += "{\"name\":\"q\",\"in\":\"query\",\"required\":true,\"schema\":{\"type\":\"string\"}},";
  out += kWaiting;
  out += ',';
  out += responses;
  out += "}},";
  out += kComponents;
  for (uint32_t i = 0; i < schema.tables.size(); ++i) {
    out += ',';
    append_table(&out, schema, i);
  }
  out += "}}}\n";
  return out;
}

}  // namespace reflex::net
