#include "feed_session.h"

#include <sys/resource.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "checkpointer.h"
#include "health.h"
#include "json_doc.h"
#include "log.h"
#include "version.h"

namespace reflex::net {
namespace {

constexpr uint16_t kProtocol = 1;
constexpr uint8_t kRoleSync = 1;
constexpr uint8_t kRoleDeployer = 2;
constexpr int kSyncNice = 5;
constexpr size_t kMaxSyncStatusBytes = 16 * 1024;

std::string_view as_text(Bytes body) { return {reinterpret_cast<const char*>(body.data()), body.size()}; }

FeedReply ok(std::string_view json) { return {make_frame(FrameKind::kOk, json)}; }

FeedReply refuse(std::string_view code, std::string_view message) {
  std::string json = "{\"error\":";
  append_quoted(&json, code);
  json += ",\"message\":";
  append_quoted(&json, message);
  json += '}';
  return {make_frame(FrameKind::kError, json)};
}

std::optional<Share> parse_share(const JsonValue& value) {
  constexpr int64_t kLongestMs = 3'600'000;
  Share share;
  const std::pair<const char*, uint32_t*> members[] = {
      {"from", &share.from}, {"to", &share.to}, {"connectionMs", &share.connection_ms}};
  for (const auto& [name, into] : members) {
    const JsonValue* member = value.find(name);
    if (member == nullptr || !member->is(JsonValue::Kind::kInteger)) return {};
    if (member->integer < 0 || member->integer > kLongestMs) return {};
    *into = static_cast<uint32_t>(member->integer);
  }
  if (!share.valid()) return {};
  return share;
}

// What sync calls frozen, by name; null where that is nothing.
HealthNotes::Frozen frozen_in(const JsonValue& status, const SchemaDef& schema) {
  const JsonValue* told = status.find("frozen");
  if (told == nullptr) return nullptr;
  std::vector<std::string_view> names;
  for (const JsonValue& index : told->items) {
    if (!index.is(JsonValue::Kind::kInteger) || index.integer < 0) continue;
    const auto table = static_cast<uint64_t>(index.integer);
    if (table < schema.tables.size()) names.emplace_back(schema.tables[table].name);
  }
  if (names.empty()) return nullptr;
  return std::make_shared<const std::vector<std::string_view>>(std::move(names));
}

// For a frame of changes, whose body begins with the index of its table.
Status no_memory(const SchemaDef& schema, Bytes body) {
  uint32_t table = 0;
  if (body.size() < sizeof table)
    return {"cap_exceeded", "The machine has no memory left for these changes."};
  std::memcpy(&table, body.data(), sizeof table);
  const std::string name(table < schema.tables.size() ? schema.tables[table].name : "");
  return {"cap_exceeded", "Table `" + name + "`: the machine has no memory left for its changes."};
}

}  // namespace

FeedSession::FeedSession(Instance& instance, SyncRole& role, uint64_t id,
                         std::function<void(uint64_t)> disconnect)
    : instance_(instance), role_(role), id_(id), disconnect_(std::move(disconnect)) {}

FeedSession::~FeedSession() {
  if (loader_ != nullptr)
    log_event(LogLevel::kWarning, "snapshot_dropped", {{"reason", "the connection ended"}});
  if (is_sync_ && role_.leave(id_)) instance_.sync_connected.store(false, std::memory_order_relaxed);
}

FeedReply FeedSession::fatal(std::string_view code, std::string_view message) {
  FeedReply reply = refuse(code, message);
  reply.close = true;
  log_event(LogLevel::kWarning, "feed_refused", {{"error", code}, {"message", message}});
  return reply;
}

FeedReply FeedSession::out_of_memory(uint8_t kind) {
  fault_ = {"cap_exceeded", "The machine has no memory left for this frame."};
  if (is_silent(static_cast<FrameKind>(kind)) && (loader_ != nullptr || changes_ != nullptr)) return {};
  return refused(fault_);
}

FeedReply FeedSession::receive(uint8_t kind, Bytes body) {
  if (!is_request(kind))
    return fatal("protocol_error", "A frame is of unknown kind " + std::to_string(kind) + ".");
  const FrameKind request = static_cast<FrameKind>(kind);
  if (greeted_ == (request == FrameKind::kHello)) {
    return fatal("protocol_error", "HELLO must be the first frame of a connection, and only the first.");
  }
  const bool feeds = kind >= 0x10 && kind <= 0x30;
  if (feeds && !is_sync_)
    return fatal("protocol_error", "Only a connection of role sync may send this frame.");
  switch (request) {
    case FrameKind::kHello:
      return hello(body);
    case FrameKind::kSnapshotBegin:
      return begin(body);
    case FrameKind::kTable:
    case FrameKind::kTableKeep:
    case FrameKind::kRows:
      return changes_ != nullptr || dropping_ ? change(request, body) : load(request, body);
    case FrameKind::kChangesBegin:
      return begin_changes(body);
    case FrameKind::kChanges:
    case FrameKind::kTablePart:
    case FrameKind::kTableKeys:
      return change(request, body);
    case FrameKind::kTableFind:
      return find(body);
    case FrameKind::kChangesCommit:
      return commit_changes(body);
    case FrameKind::kChangesAbort:
      if (!body.empty()) return fatal("protocol_error", "CHANGES_ABORT has no body.");
      changes_.reset();
      dropping_ = false;
      return ok("{}");
    case FrameKind::kSnapshotCommit:
      return commit(body);
    case FrameKind::kSnapshotAbort:
      if (!body.empty()) return fatal("protocol_error", "SNAPSHOT_ABORT has no body.");
      loader_.reset();
      return ok("{}");
    case FrameKind::kConfirm:
      return confirm(body);
    case FrameKind::kSyncStatus:
      return sync_status(as_text(body));
    default:
      return order(request, body);
  }
}

FeedReply FeedSession::order(FrameKind kind, Bytes body) {
  const bool bare = kind == FrameKind::kServe || kind == FrameKind::kListener || kind == FrameKind::kStatus ||
                    kind == FrameKind::kShapes;
  if (bare && !body.empty())
    return fatal("protocol_error", "SERVE, LISTENER, STATUS and SHAPES have no body.");
  switch (kind) {
    case FrameKind::kKeys:
      return keys(as_text(body));
    case FrameKind::kServe:
      if (instance_.publication.view().snapshot == nullptr)
        return refuse("not_ready", "No snapshot has been loaded yet.");
      if (!instance_.serve())
        return refuse("not_ready", "There is no listening socket, or this server is draining.");
      return ok("{}");
    case FrameKind::kDrain:
      return drain(body);
    case FrameKind::kListener:
      return listener();
    case FrameKind::kQuery:
      return query(as_text(body));
    case FrameKind::kStatus: {
      std::string json;
      append_health(instance_, true, &json);
      return ok(json);
    }
    case FrameKind::kShapes:
      return shapes();
    case FrameKind::kConfigure:
      return configure(as_text(body));
    default:
      return fatal("protocol_error", "A frame is of a kind that is no request.");
  }
}

FeedReply FeedSession::hello(Bytes body) {
  const std::optional<Hello> hello = parse_hello(body);
  if (!hello)
    return fatal("protocol_error",
                 "HELLO must be a version, a role, a fingerprint and a mode of at most 32 bytes.");
  if (hello->protocol != kProtocol)
    return fatal("protocol_error", "Only version 1 of this protocol is spoken here.");
  if (hello->role != kRoleSync && hello->role != kRoleDeployer) {
    return fatal("protocol_error", "The role of HELLO must be 1 (sync) or 2 (deployer).");
  }
  const auto is_zero = [](uint8_t b) { return b == 0; };
  const bool unchecked = std::all_of(hello->fingerprint.begin(), hello->fingerprint.end(), is_zero);
  const auto& wanted = instance_.schema.fingerprint;
  const bool same = std::equal(wanted.begin(), wanted.end(), hello->fingerprint.begin());
  if (!same && !(unchecked && hello->role == kRoleDeployer)) {
    return fatal("wrong_plan",
                 "This server was built for another plan; its fingerprint is " + hex(wanted) + ".");
  }
  greeted_ = true;
  if (hello->role == kRoleSync) {
    is_sync_ = true;
    origin_ = {instance_.first_version, std::string(hello->mode)};
    // Taking rows in gives way to answering queries, where both want the processor: on Linux this is of the
    // calling thread alone. Refused, it does no harm.
    setpriority(PRIO_PROCESS, 0, kSyncNice);
    role_.take(id_, disconnect_);
    instance_.sync_connected.store(true, std::memory_order_relaxed);
  }
  if (is_sync_) instance_.checkpoints.await_loaded();
  const View view = instance_.publication.view();
  std::string json = "{\"engine\":\"" + std::string(kEngineVersion) + "\",\"fingerprint\":\"" + hex(wanted) +
                     "\",\"process\":\"" + instance_.boot_id + "\",\"version\":";
  json += std::to_string(view.snapshot != nullptr ? info(*view.snapshot).version : 0) + ",\"position\":";
  append_quoted(&json, view.snapshot != nullptr ? info(*view.snapshot).position : "");
  json += ",\"mode\":";
  append_quoted(&json, view.snapshot != nullptr ? info(*view.snapshot).mode : "");
  json += ",\"restored\":";
  json += instance_.checkpoints.stale() ? "true" : "false";
  return ok(json + "}");
}

FeedReply FeedSession::begin(Bytes body) {
  const std::optional<Moment> moment = parse_moment(body);
  if (!moment) return fatal("protocol_error", "The body of SNAPSHOT_BEGIN does not parse.");
  if (loader_ != nullptr || changes_ != nullptr || dropping_)
    return fatal("protocol_error", "SNAPSHOT_BEGIN came within a snapshot or a group of changes.");
  fault_ = {};
  load_began_ms_ = monotonic_ms();
  loader_ = std::make_unique<Loader>(instance_.schema, instance_.publication.view().snapshot,
                                     instance_.options.memory_cap_mb << 20, moment->source_time_ms,
                                     moment->position, origin_);
  return ok("{}");
}

FeedReply FeedSession::load(FrameKind kind, Bytes body) {
  if (loader_ == nullptr) return fatal("protocol_error", "Rows came outside of a snapshot.");
  std::optional<uint32_t> table;
  if (kind != FrameKind::kRows) {
    table = parse_u32(body);
    if (!table) return fatal("protocol_error", "The body of TABLE must be a table's index.");
  }
  if (!fault_.ok()) return {};  // thrown away unread
  try {
    if (kind == FrameKind::kTable) fault_ = loader_->table(*table);
    if (kind == FrameKind::kTableKeep) fault_ = loader_->keep(*table);
    if (kind == FrameKind::kRows) fault_ = loader_->rows(body);
  } catch (const std::bad_alloc&) {
    fault_ = {"cap_exceeded", "The machine has no memory left for these rows."};
  }
  return {};
}

FeedReply FeedSession::commit(Bytes body) {
  if (!body.empty()) return fatal("protocol_error", "SNAPSHOT_COMMIT has no body.");
  if (loader_ == nullptr) return fatal("protocol_error", "SNAPSHOT_COMMIT came outside of a snapshot.");
  const std::unique_ptr<Loader> loader = std::move(loader_);
  SnapshotPtr snapshot;
  Status status = std::exchange(fault_, {});
  try {
    if (status.ok()) status = loader->commit(&snapshot);
  } catch (const std::bad_alloc&) {
    status = {"cap_exceeded", "The machine has no memory left for the indexes."};
  }
  if (!status.ok()) return refused(status);
  assert(snapshot != nullptr);
  const uint64_t version = info(*snapshot).version;
  const uint64_t bytes = info(*snapshot).bytes;
  const bool held = role_.while_held(id_, [&] {
    // Whoever reads everything anew has reason to doubt what is there. Polls always do, also after a restart.
    if (is_streamed(info(*snapshot)) && instance_.publication.view().snapshot != nullptr)
      reject_checkpoints(&instance_.checkpoints, version);
    instance_.publication.publish_snapshot(std::move(snapshot), true);
  });
  if (!held) return fatal("protocol_error", "A newer sync has taken over.");
  instance_.notes.clear_cap_exceeded();
  instance_.checkpoints.heard_all();
  log_event(LogLevel::kInfo, "snapshot_swapped",
            {{"version", version}, {"bytes", bytes}, {"duration_ms", monotonic_ms() - load_began_ms_}});
  return ok("{\"version\":" + std::to_string(version) + "}");
}

FeedReply FeedSession::begin_changes(Bytes body) {
  const std::optional<ChangesBegin> begin = parse_changes_begin(body);
  if (!begin)
    return fatal("protocol_error", "The body of CHANGES_BEGIN must be a version in eight bytes, and 0 or 1.");
  if (loader_ != nullptr || changes_ != nullptr || dropping_)
    return fatal("protocol_error", "CHANGES_BEGIN came within a snapshot or a group of changes.");
  const SnapshotPtr serving = instance_.publication.view().snapshot;
  const uint64_t present = serving != nullptr ? info(*serving).version : 0;
  if (present == 0 || present != begin->version) {
    // Without a base nothing can be applied; what follows is thrown away until the commit says so.
    fault_ = {"out_of_step", "Changes to version " + std::to_string(begin->version) + " came, but version " +
                                 std::to_string(present) + " is what is being served."};
    dropping_ = true;
    return {};
  }
  fault_ = {};
  compares_ = begin->compares;
  changes_ = std::make_unique<Changes>(instance_.schema, serving, instance_.options.memory_cap_mb << 20);
  return {};
}

FeedReply FeedSession::change(FrameKind kind, Bytes body) {
  if (dropping_) return {};
  if (changes_ == nullptr) return fatal("protocol_error", "CHANGES came outside of a group of changes.");
  if (kind == FrameKind::kTableKeep)
    return fatal("protocol_error",
                 "TABLE_KEEP came within a group of changes, which keeps what it does not name.");
  std::optional<uint32_t> table;
  if (kind == FrameKind::kTable) {
    table = parse_u32(body);
    if (!table) return fatal("protocol_error", "The body of TABLE must be a table's index.");
  }
  if (!fault_.ok()) return {};  // thrown away unread
  try {
    if (kind == FrameKind::kTable) fault_ = changes_->replace(*table);
    if (kind == FrameKind::kRows) fault_ = changes_->replacement(body);
    if (kind == FrameKind::kChanges) fault_ = changes_->rows(body);
    if (kind == FrameKind::kTablePart) fault_ = changes_->part(body);
    if (kind == FrameKind::kTableKeys) fault_ = changes_->keys(body);
  } catch (const std::bad_alloc&) {
    fault_ = no_memory(instance_.schema, body);
  }
  return {};
}

FeedReply FeedSession::find(Bytes body) {
  if (changes_ == nullptr && !dropping_)
    return fatal("protocol_error", "TABLE_FIND came outside of a group of changes.");
  std::string found;
  if (fault_.ok()) fault_ = changes_->search(body, &found);
  return fault_.ok() ? ok(found) : refused(fault_);
}

FeedReply FeedSession::commit_changes(Bytes body) {
  const std::optional<Moment> moment = parse_moment(body);
  if (!moment) return fatal("protocol_error", "The body of CHANGES_COMMIT does not parse.");
  if (changes_ == nullptr && !dropping_)
    return fatal("protocol_error", "CHANGES_COMMIT came outside of a group of changes.");
  dropping_ = false;
  const std::unique_ptr<Changes> changes = std::move(changes_);
  SnapshotPtr snapshot;
  Status status = std::exchange(fault_, {});
  try {
    if (status.ok()) status = changes->commit(moment->source_time_ms, moment->position, origin_, &snapshot);
  } catch (const std::bad_alloc&) {
    status = {"cap_exceeded", "The machine has no memory left for these changes."};
  }
  if (!status.ok()) return refused(status);
  const uint64_t version = info(*snapshot).version;
  bool published = false;
  const bool held = role_.while_held(id_, [&] {
    if (instance_.publication.view().snapshot != changes->previous()) return;
    if (compares_ && changes->differences() > 0) reject_checkpoints(&instance_.checkpoints, version);
    instance_.publication.publish_snapshot(std::move(snapshot), true);
    published = true;
  });
  if (!held) return fatal("protocol_error", "A newer sync has taken over.");
  if (!published)
    return refused(
        {"out_of_step", "Another snapshot was taken into service while these changes were applied."});
  instance_.notes.clear_cap_exceeded();
  instance_.checkpoints.heard(moment->source_time_ms);
  return ok("{\"version\":" + std::to_string(version) +
            ",\"differences\":" + std::to_string(changes->differences()) + durable() + "}");
}

FeedReply FeedSession::refused(const Status& status) {
  if (status.code == "cap_exceeded") instance_.notes.set_cap_exceeded(status.message);
  log_event(LogLevel::kError, "snapshot_refused", {{"error", status.code}});
  FeedReply reply = refuse(status.code, status.message);
  reply.close = status.code == "protocol_error";
  return reply;
}

FeedReply FeedSession::confirm(Bytes body) {
  const std::optional<Moment> moment = parse_moment(body);
  if (!moment) return fatal("protocol_error", "The body of CONFIRM does not parse.");
  bool done = false;
  const bool held = role_.while_held(id_, [&] {
    const SnapshotPtr serving = instance_.publication.view().snapshot;
    if (serving == nullptr) return;
    instance_.publication.publish_snapshot(
        with_position(serving, moment->source_time_ms, moment->position, origin_.mode), false);
    done = true;
  });
  if (!held) return fatal("protocol_error", "A newer sync has taken over.");
  if (done) instance_.checkpoints.heard(moment->source_time_ms);
  return done ? ok("{" + durable(true) + "}") : refuse("not_ready", "No snapshot has been loaded yet.");
}

// What the source need not keep any longer, as a member of an answer: nothing where that is all that was
// applied.
std::string FeedSession::durable(bool first) const {
  const CheckpointNotes::Copy notes = instance_.checkpoints.copy();
  const bool fails = !notes.error.empty() || monotonic_ms() - notes.durable_at_ms > Checkpointer::kMostHeldMs;
  if (!notes.kept || notes.durable.empty() || fails) return "";
  std::string text = first ? "\"durable\":" : ",\"durable\":";
  append_quoted(&text, notes.durable);
  return text;
}

FeedReply FeedSession::sync_status(std::string_view text) {
  JsonValue status;
  if (text.size() > kMaxSyncStatusBytes || !parse_json(text, &status) ||
      !status.is(JsonValue::Kind::kObject)) {
    return fatal("protocol_error", "SYNC_STATUS must be a JSON object of at most 16 KiB.");
  }
  const JsonValue* state = status.find("state");
  const JsonValue* error = status.find("lastError");
  instance_.notes.set_frozen(frozen_in(status, instance_.schema));
  instance_.notes.set_sync(std::string(text), state != nullptr ? state->text : "",
                           error != nullptr ? error->text : "");
  return ok("{}");
}

FeedReply FeedSession::keys(std::string_view text) {
  std::string error;
  const KeyTablePtr before = instance_.publication.view().keys;
  KeyTablePtr table = KeyTable::parse(text, before.get(), &error);
  if (table == nullptr) return fatal("protocol_error", error);
  log_event(LogLevel::kInfo, "keys_replaced", {{"keys", static_cast<uint64_t>(table->size())}});
  instance_.publication.publish_keys(std::move(table));
  return ok("{}");
}

FeedReply FeedSession::drain(Bytes body) {
  const std::optional<uint32_t> within = parse_u32(body);
  if (!within)
    return fatal("protocol_error", "The body of DRAIN must be a number of milliseconds in four bytes.");
  instance_.drain(*within);
  return ok("{}");
}

FeedReply FeedSession::listener() {
  const int fd = instance_.listener();
  if (fd < 0) return refuse("not_ready", "There is no listening socket, or it has been given up.");
  FeedReply reply = ok("{}");
  reply.attach = fd;
  return reply;
}

FeedReply FeedSession::query(std::string_view text) {
  const SnapshotPtr snapshot = instance_.publication.view().snapshot;
  if (snapshot == nullptr) return refuse("not_ready", "No snapshot has been loaded yet.");
  if (engine_ == nullptr) engine_ = std::make_unique<QueryEngine>(instance_.schema, instance_.options.limits);
  std::string answer;
  const int status = engine_->answer(*snapshot, text, &answer);
  if (answer.size() >= kMaxFrameBytes)
    return refuse("limit_exceeded", "The answer is longer than a frame may be.");
  return {make_frame(status == 200 ? FrameKind::kOk : FrameKind::kError, answer)};
}

FeedReply FeedSession::shapes() {
  std::map<std::string, uint64_t> seen;
  uint64_t other = 0;
  for (const auto& stats : instance_.stats) stats->shapes.take(&seen, &other);
  std::string json = "{\"shapes\":[";
  for (const auto& [shape, count] : seen) {
    if (json.back() != '[') json += ',';
    json += "{\"shape\":" + shape + ",\"count\":" + std::to_string(count) + '}';
  }
  json += "],\"other\":" + std::to_string(other) + '}';
  return ok(json);
}

FeedReply FeedSession::configure(std::string_view text) {
  JsonValue settings;
  if (!parse_json(text, &settings) || !settings.is(JsonValue::Kind::kObject)) {
    return fatal("protocol_error", "CONFIGURE must be a JSON object.");
  }
  for (const auto& [name, value] : settings.members) {
    if (name == "checkpoint" && value.is(JsonValue::Kind::kBool) && !value.boolean) {
      instance_.checkpoints.change([](auto& notes) { notes.kept = false; });
      continue;
    }
    if (name == "share") {
      const std::optional<Share> share = parse_share(value);
      if (!share) {
        return fatal("protocol_error",
                     "\"share\" must be an object with \"from\", \"to\" and \"connectionMs\".");
      }
      instance_.share(*share);
      continue;
    }
    LogLevel level = LogLevel::kInfo;
    if (name != "logLevel" || !parse_level(value.text, &level)) {
      return fatal("protocol_error",
                   "CONFIGURE knows \"logLevel\" (debug, info, warning or error), \"checkpoint\" (false) and "
                   "\"share\".");
    }
    set_log_level(level);
  }
  return ok("{}");
}

}  // namespace reflex::net
