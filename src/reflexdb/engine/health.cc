#include "health.h"

#include <array>
#include <cassert>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <utility>

#include "json_doc.h"
#include "table_metrics.h"
#include "version.h"

namespace reflex::net {
namespace {

struct Verdict {
  const char* status;
  std::string reason;
};

Verdict judge(const View& view, const HealthNotes::Copy& notes, const HealthNotes::Frozen& frozen,
              bool stale) {
  if (!notes.cap_exceeded.empty()) return {"cap_exceeded", notes.cap_exceeded};
  if (view.snapshot == nullptr) return {"starting", "No snapshot has been loaded yet."};
  if (notes.sync_state == "failing" && notes.sync_error.starts_with("cap_exceeded:"))
    return {"cap_exceeded", notes.sync_error};  // of a table, while changes of others are taken
  if (notes.sync_state == "failing") {
    return {"degraded", notes.sync_error.empty() ? "Sync says that it fails." : notes.sync_error};
  }
  if (frozen != nullptr) {
    std::string reason = "Some tables can't be brought up to date, among them `";
    return {"degraded", reason.append(frozen->front()) + "`."};
  }
  if (stale)
    return {"degraded", "The snapshot comes from a checkpoint, and its source has not been heard of since."};
  return {"ok", ""};
}

uint64_t total_rows(const SnapshotInfo& of) {
  return std::accumulate(of.row_counts.begin(), of.row_counts.end(), uint64_t{0});
}

void append_number(std::string* out, std::string_view name, uint64_t value) {
  *out += ',';
  append_quoted(out, name);
  *out += ':';
  *out += std::to_string(value);
}

template <typename Get>
uint64_t sum(const Instance& instance, Get get) {
  uint64_t total = 0;
  for (const auto& stats : instance.stats) total += get(*stats).get();
  return total;
}

void append_details(const Instance& instance, const View& view, std::string* out) {
  *out += ",\"requests\":";
  append_counts(instance, 0, out);
  *out += ",\"keyUse\":{";
  bool first = true;
  if (view.keys != nullptr) {
    for (const KeyTable::Use& use : view.keys->uses()) {
      if (!std::exchange(first, false)) *out += ',';
      append_quoted(out, use.key_id);
      *out += ':' + std::to_string(use.last_used_ms);
    }
  }
  *out += "},\"rowCounts\":{";
  first = true;
  if (view.snapshot != nullptr) {
    const SnapshotInfo& of = info(*view.snapshot);
    assert(of.row_counts.size() == instance.schema.tables.size());
    for (size_t i = 0; i < of.row_counts.size(); ++i) {
      if (!std::exchange(first, false)) *out += ',';
      append_quoted(out, instance.schema.tables[i].name);
      *out += ':' + std::to_string(of.row_counts[i]);
    }
  }
  *out += "},\"tableBytes\":{";
  first = true;
  for (uint32_t i = 0; view.snapshot != nullptr && i < instance.schema.tables.size(); ++i) {
    if (!std::exchange(first, false)) *out += ',';
    append_quoted(out, instance.schema.tables[i].name);
    *out += ':' + std::to_string(table_bytes(*view.snapshot, i));
  }
  *out += "},\"position\":";
  append_quoted(out, view.snapshot != nullptr ? info(*view.snapshot).position : "");
}

void append_checkpoint(const CheckpointNotes& checkpoints, std::string* out) {
  const CheckpointNotes::Copy notes = checkpoints.copy();
  *out += ",\"stale\":";
  *out += checkpoints.stale() ? "true" : "false";
  *out += ",\"checkpoint\":";
  if (!notes.kept) {
    *out += "null";
    return;
  }
  *out += "{\"restored\":";
  *out += notes.restored ? "true" : "false";
  append_number(out, "written", notes.written);
  append_number(out, "failures", notes.failures);
  *out += ",\"lastError\":";
  if (notes.error.empty()) {
    *out += "null";
  } else {
    append_quoted(out, notes.error);
  }
  append_number(out, "writtenAtMs", static_cast<uint64_t>(notes.written_at_ms));
  append_number(out, "bytes", notes.bytes);
  append_number(out, "tookMs", static_cast<uint64_t>(notes.took_ms));
  *out += '}';
}

// One metric without labels, with its help.
void append_metric(std::string* out, const char* name, const char* type, const char* help, double value) {
  char line[512];
  const int n =
      snprintf(line, sizeof line, "# HELP reflexdb_%s %s\n# TYPE reflexdb_%s %s\nreflexdb_%s %.17g\n", name,
               help, name, type, name, value);
  assert(n > 0 && static_cast<size_t>(n) < sizeof line);
  out->append(line, static_cast<size_t>(n));
}

// What sync said of itself, where it follows its source.
void append_sync(const std::string& told, std::string* out) {
  struct Figure {
    const char* key;
    const char* name;
    const char* type;
    const char* help;
    double scale;
  };
  static constexpr Figure kFigures[] = {
      {"lagMs", "sync_lag_seconds", "gauge", "From a commit at the source to its being visible, lately.",
       1e-3},
      {"changes", "sync_changes_total", "counter", "Changed rows that sync sent.", 1},
      {"transactions", "sync_transactions_total", "counter", "Source transactions that sync applied.", 1},
      {"reconnects", "sync_reconnects_total", "counter", "Times that the source was lost.", 1},
      {"rereads", "sync_rereads_total", "counter", "Tables read again while following.", 1},
      {"differences", "sync_differences_total", "counter", "Rows that the safety net found wrong.", 1},
  };
  JsonValue status;
  if (told.empty() || !parse_json(told, &status)) return;
  for (const Figure& figure : kFigures) {
    const JsonValue* value = status.find(figure.key);
    if (value == nullptr || !value->is(JsonValue::Kind::kInteger)) continue;
    append_metric(out, figure.name, figure.type, figure.help,
                  static_cast<double>(value->integer) * figure.scale);
  }
}

void append_requests(const Instance& instance, std::string* out) {
  *out +=
      "# HELP reflexdb_requests_total HTTP requests answered, by status.\n# TYPE reflexdb_requests_total "
      "counter\n";
  for (size_t i = 0; i <= kStatusCount; ++i) {
    const uint64_t count = sum(instance, [i](const LoopStats& s) -> const Counter& { return s.requests[i]; });
    const std::string status = i < kStatusCount ? std::to_string(kStatuses[i]) : "other";
    *out += "reflexdb_requests_total{status=\"" + status + "\"} " + std::to_string(count) + "\n";
  }
}

void append_query_times(const Instance& instance, std::string* out) {
  *out +=
      "# HELP reflexdb_query_seconds Time spent answering a query, without the network.\n# TYPE "
      "reflexdb_query_seconds histogram\n";
  uint64_t total = 0;
  for (size_t i = 0; i < kBucketCount; ++i) {
    total += sum(instance, [i](const LoopStats& s) -> const Counter& { return s.query_times[i]; });
    char bound[32] = "+Inf";
    if (i + 1 < kBucketCount) snprintf(bound, sizeof bound, "%g", static_cast<double>(kBucketNs[i]) / 1e9);
    *out +=
        "reflexdb_query_seconds_bucket{le=\"" + std::string(bound) + "\"} " + std::to_string(total) + "\n";
  }
  const uint64_t ns = sum(instance, [](const LoopStats& s) -> const Counter& { return s.query_ns; });
  char line[64];
  snprintf(line, sizeof line, "reflexdb_query_seconds_sum %.9f\n", static_cast<double>(ns) / 1e9);
  *out += line;
  *out += "reflexdb_query_seconds_count " + std::to_string(total) + "\n";
}

}  // namespace

int append_health(const Instance& instance, bool detailed, std::string* out) {
  const View view = instance.publication.view();
  const HealthNotes::Copy notes = instance.notes.copy();
  const Verdict verdict = judge(view, notes, instance.notes.frozen(), instance.checkpoints.stale());
  const int64_t now = monotonic_ms();
  *out += "{\"status\":\"";
  *out += verdict.status;
  *out += "\",\"reason\":";
  if (verdict.reason.empty()) {
    *out += "null";
  } else {
    append_quoted(out, verdict.reason);
  }
  *out += ",\"engine\":\"";
  *out += kEngineVersion;
  *out += '"';
  if (view.snapshot != nullptr) {
    const SnapshotInfo& of = info(*view.snapshot);
    append_number(out, "version", of.version);
    append_number(out, "snapshotAgeMs", static_cast<uint64_t>(view.age_at(now)));
    append_number(out, "rows", total_rows(of));
  } else {
    *out += ",\"version\":0,\"snapshotAgeMs\":null,\"rows\":0";
  }
  append_number(out, "swapCount", instance.publication.swaps());
  *out +=
      ",\"memory\":{\"bytes\":" + std::to_string(view.snapshot != nullptr ? info(*view.snapshot).bytes : 0);
  append_number(out, "capBytes", instance.options.memory_cap_mb << 20);
  *out += "},\"syncConnected\":";
  *out += instance.sync_connected.load(std::memory_order_relaxed) ? "true" : "false";
  *out += ",\"sync\":";
  *out += notes.sync.empty() ? "null" : notes.sync;
  append_checkpoint(instance.checkpoints, out);
  append_number(out, "connections",
                static_cast<uint64_t>(instance.connections.load(std::memory_order_relaxed)));
  append_number(out, "uptimeMs", static_cast<uint64_t>(now - instance.started_ms));
  constexpr const char* kSandbox[] = {"off", "on", "refused"};
  out->append(",\"sandbox\":\"").append(kSandbox[static_cast<size_t>(instance.sandbox.load())]).append("\"");
  if (detailed) append_details(instance, view, out);
  *out += '}';
  return view.snapshot != nullptr ? 200 : 503;
}

void append_counts(const Instance& instance, uint64_t cut, std::string* out) {
  uint64_t answered = 0;
  uint64_t failed = 0;
  uint64_t refused = 0;
  for (size_t i = 0; i <= kStatusCount; ++i) {
    const uint64_t count = sum(instance, [i](const LoopStats& s) -> const Counter& { return s.requests[i]; });
    answered += count;
    if (is_failure(i)) failed += count;
    if (i < kStatusCount && (kStatuses[i] == 400 || kStatuses[i] == 422)) refused += count;
  }
  *out += "{\"answered\":" + std::to_string(answered);
  append_number(out, "failed", failed);
  append_number(out, "refused", refused);
  append_number(out, "cut", cut + sum(instance, [](const LoopStats& s) -> const Counter& { return s.cut; }));
  append_number(out, "queryNs",
                sum(instance, [](const LoopStats& s) -> const Counter& { return s.query_ns; }));
  *out += ",\"queryTimes\":[";
  for (size_t i = 0; i < kBucketCount; ++i) {
    if (i > 0) *out += ',';
    *out += '[' + (i + 1 < kBucketCount ? std::to_string(kBucketNs[i]) : std::string("null")) + ',';
    *out +=
        std::to_string(sum(instance, [i](const LoopStats& s) -> const Counter& { return s.query_times[i]; }));
    *out += ']';
  }
  *out += "]}";
}

void append_metrics(const Instance& instance, std::string* out) {
  const View view = instance.publication.view();
  const int64_t now = monotonic_ms();
  append_requests(instance, out);
  append_query_times(instance, out);
  auto total = [&](auto get) { return static_cast<double>(sum(instance, get)); };
  append_metric(out, "plan_cache_hits_total", "counter", "Queries whose plan was cached.",
                total([](const LoopStats& s) -> const Counter& { return s.plan_hits; }));
  append_metric(out, "plan_cache_misses_total", "counter", "Queries whose plan was made anew.",
                total([](const LoopStats& s) -> const Counter& { return s.plan_misses; }));
  append_metric(out, "sent_bytes_total", "counter", "Bytes sent to HTTP clients.",
                total([](const LoopStats& s) -> const Counter& { return s.bytes_sent; }));
  append_metric(out, "accepted_total", "counter", "HTTP connections accepted.",
                total([](const LoopStats& s) -> const Counter& { return s.accepted; }));
  append_metric(out, "cut_total", "counter", "Connections closed at the end while an answer was owed.",
                total([](const LoopStats& s) -> const Counter& { return s.cut; }));
  append_metric(out, "connections", "gauge", "HTTP connections open now.",
                static_cast<double>(instance.connections.load()));
  append_metric(out, "waiting_requests", "gauge", "Requests that wait for a source position.",
                static_cast<double>(instance.waiting.load()));
  append_metric(out, "long_queries_total", "counter", "Queries handed to a worker because they take longer.",
                static_cast<double>(instance.workers->submitted()));
  append_metric(out, "long_queries", "gauge", "Queries that a worker runs, or that wait for one.",
                static_cast<double>(instance.workers->in_hand()));
  append_metric(out, "pending_bytes", "gauge", "Bytes of answers that clients have not taken yet.",
                static_cast<double>(instance.pending_bytes.load()));
  append_metric(out, "snapshot_swaps_total", "counter", "Snapshots taken into service since the start.",
                static_cast<double>(instance.publication.swaps()));
  const CheckpointNotes::Copy checkpoint = instance.checkpoints.copy();
  append_metric(out, "checkpoints_total", "counter", "Checkpoints written since the start.",
                static_cast<double>(checkpoint.written));
  append_metric(out, "checkpoint_failures_total", "counter", "Checkpoints that could not be written.",
                static_cast<double>(checkpoint.failures));
  append_metric(out, "snapshot_stale", "gauge", "1 while the snapshot is a checkpoint's, not heard of since.",
                instance.checkpoints.stale() ? 1 : 0);
  append_sync(instance.notes.copy().sync, out);
  const HealthNotes::Frozen frozen = instance.notes.frozen();
  append_metric(out, "stale_tables", "gauge", "Tables that can't be brought up to date just now.",
                frozen == nullptr ? 0 : static_cast<double>(frozen->size()));
  append_metric(out, "memory_cap_bytes", "gauge", "Cap on memory for rows and indexes; 0 is none.",
                static_cast<double>(instance.options.memory_cap_mb << 20));
  append_metric(out, "uptime_seconds", "gauge", "Seconds since the start.",
                static_cast<double>(now - instance.started_ms) / 1e3);
  append_metric(out, "sandboxed", "gauge", "1 while a filter of system calls is in force.",
                instance.sandbox.load() == Instance::Sandbox::kOn ? 1 : 0);
  append_metric(out, "ready", "gauge", "1 while a snapshot can be served.", view.snapshot != nullptr ? 1 : 0);
  if (view.snapshot == nullptr) return;
  const SnapshotInfo& of = info(*view.snapshot);
  append_metric(out, "snapshot_age_seconds", "gauge", "How far the source may be ahead.",
                static_cast<double>(view.age_at(now)) / 1e3);
  append_metric(out, "snapshot_version", "gauge", "Version of the snapshot that serves.",
                static_cast<double>(of.version));
  append_metric(out, "snapshot_rows", "gauge", "Rows of all tables together.",
                static_cast<double>(total_rows(of)));
  append_metric(out, "memory_bytes", "gauge", "Memory held by rows and indexes.",
                static_cast<double>(of.bytes));
}

}  // namespace reflex::net
