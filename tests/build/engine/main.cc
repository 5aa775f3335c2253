// A server that only tells what it was compiled with: proves the toolchain and the generated tables without
// the real engine.
// `--schema` is the engine's own; `--dump` prints every field of every table, texts as hex.
#include <cstdio>
#include <cstring>
#include <string_view>

#include "schema.h"
#include "version.h"

namespace {

void text(std::string_view value) {
  for (unsigned char byte : value) std::printf("%02x", byte);
  std::printf(" ");
}

void numbers(std::span<const uint16_t> values) {
  std::printf("[");
  for (uint16_t value : values) std::printf("%u ", value);
  std::printf("] ");
}

void dump(const reflex::SchemaDef& schema) {
  text(schema.name);
  std::printf("\n");
  for (const reflex::TableDef& table : schema.tables) {
    std::printf("table ");
    text(table.name);
    numbers(table.primary_key);
    std::printf("\n");
    for (const reflex::ColumnDef& column : table.columns) {
      std::printf("column ");
      text(column.name);
      text(column.declared);
      text(column.note);
      std::printf("%u %d %d\n", static_cast<unsigned>(column.storage), column.nullable, column.visible);
    }
    for (const reflex::ForwardDef& forward : table.forward) {
      std::printf("forward ");
      text(forward.name);
      numbers(forward.columns);
      std::printf("%u ", forward.target);
      numbers(forward.target_columns);
      std::printf("%d\n", forward.visible);
    }
    for (const reflex::ReverseDef& reverse : table.reverse) {
      std::printf("reverse ");
      text(reverse.name);
      std::printf("%u %u\n", reverse.child, reverse.forward);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const reflex::SchemaDef& schema = reflex::schema();
  if (argc == 2 && std::strcmp(argv[1], "--dump") == 0) {
    dump(schema);
    return 0;
  }
  std::printf("{\"engine\":\"%s\",\"fingerprint\":\"", reflex::kEngineVersion);
  for (uint8_t byte : schema.fingerprint) std::printf("%02x", byte);
  std::printf("\"}\n");
  return 0;
}
