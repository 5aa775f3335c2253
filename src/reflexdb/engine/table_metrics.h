// What each table holds in memory, as Prometheus text: rows, values, texts, key index and links. Names of
// tables are in it, so it is for those who have a key.
#pragma once

#include <cstdint>
#include <string>

#include "instance.h"

namespace reflex::net {

// The sum of what the metrics tell of a table.
uint64_t table_bytes(const Snapshot& snapshot, uint32_t index);

void append_table_metrics(const Instance& instance, const Snapshot& snapshot, std::string* out);

}  // namespace reflex::net
