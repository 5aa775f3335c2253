#include "table_metrics.h"

#include <algorithm>
#include <cassert>

#include "store.h"

namespace reflex::net {
namespace {

struct Held {
  uint64_t values = 0;  // fixed-width values, and bits for nulls and escapes
  uint64_t texts = 0;   // everything of varying length, and where each starts
  uint64_t key = 0;
  uint64_t links = 0;  // from this table to its parents, both ways
};

void add(const Chunk& chunk, Held* held) {
  const uint64_t values =
      sizeof(Chunk) + chunk.fixed.capacity() + (chunk.valid.capacity() + chunk.escape.capacity()) * 8;
  held->values += values;
  held->texts += chunk.memory() - values;
}

Held held_by(const Snapshot& snapshot, uint32_t index) {
  const Table& table = snapshot.table(index);
  Held held;
  held.key = table.primary_key.memory();
  for (const Column& column : table.columns) {
    for (const auto& chunk : column.chunks) {
      add(*chunk, &held);
      if (chunk->base != nullptr) add(*chunk->base, &held);
      if (chunk->pages == nullptr) continue;
      for (const auto& page : *chunk->pages) {
        if (page != nullptr) add(*page, &held);
      }
    }
  }
  for (const auto& link : snapshot.links[index]) held.links += link->bytes;
  return held;
}

// A label's value: any name of a table.
std::string label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

uint64_t table_bytes(const Snapshot& snapshot, uint32_t index) {
  const Held held = held_by(snapshot, index);
  return held.values + held.texts + held.key + held.links;
}

void append_table_metrics(const Instance& instance, const Snapshot& snapshot, std::string* out) {
  const SchemaDef& schema = instance.schema;
  *out += "# HELP reflexdb_table_rows Rows of a table.\n# TYPE reflexdb_table_rows gauge\n";
  assert(snapshot.tables.size() == schema.tables.size());
  for (uint32_t i = 0; i < schema.tables.size(); ++i) {
    *out += "reflexdb_table_rows{table=\"" + label(schema.tables[i].name) + "\"} " +
            std::to_string(snapshot.table(i).live()) + "\n";
  }
  *out +=
      "# HELP reflexdb_table_memory_bytes Memory that a table holds, by what it is for.\n# TYPE "
      "reflexdb_table_memory_bytes gauge\n";
  for (uint32_t i = 0; i < schema.tables.size(); ++i) {
    const Held held = held_by(snapshot, i);
    const auto line = [&](const char* part, uint64_t bytes) {
      *out += "reflexdb_table_memory_bytes{table=\"" + label(schema.tables[i].name) + "\",part=\"" + part +
              "\"} " + std::to_string(bytes) + "\n";
    };
    line("values", held.values);
    line("texts", held.texts);
    line("key", held.key);
    line("links", held.links);
  }
  const HealthNotes::Frozen frozen = instance.notes.frozen();
  *out +=
      "# HELP reflexdb_table_stale 1 while a table can't be brought up to date.\n# TYPE reflexdb_table_stale "
      "gauge\n";
  for (const TableDef& table : schema.tables) {
    const bool is_stale =
        frozen != nullptr && std::find(frozen->begin(), frozen->end(), table.name) != frozen->end();
    *out += "reflexdb_table_stale{table=\"" + label(table.name) + (is_stale ? "\"} 1\n" : "\"} 0\n");
  }
}

}  // namespace reflex::net
