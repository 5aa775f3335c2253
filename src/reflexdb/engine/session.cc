#include "session.h"

#include <algorithm>
#include <utility>

#include "health.h"
#include "json_doc.h"
#include "log.h"
#include "version.h"

namespace reflex::net {
namespace {

constexpr uint8_t kRoleSync = 1;
constexpr uint8_t kRoleDeployer = 2;
constexpr std::string_view kStates[] = {"ok", "loading", "paused", "failing"};

uint64_t cap_bytes(const Instance& instance) { return instance.options.memory_cap_mb << 20; }

std::string_view member_text(const JsonValue& object, std::string_view name) {
  const JsonValue* found = object.find(name);
  return found != nullptr && found->is(JsonValue::Kind::kString) ? std::string_view(found->text)
                                                                 : std::string_view();
}

}  // namespace

Answer Session::error(std::string_view code, std::string_view message, bool close) {
  Answer answer{.ok = false, .body = "{\"error\":", .attached = -1, .close = close};
  append_quoted(&answer.body, code);
  answer.body += ",\"message\":";
  append_quoted(&answer.body, message);
  answer.body += '}';
  return answer;
}

Answer Session::malformed(std::string_view name) {
  return error("protocol_error", std::string(name) + ": the frame's body is not of its kind's form.", true);
}

std::optional<Answer> Session::take(const Frame& frame) {
  const Kind kind = static_cast<Kind>(frame.kind);
  if (role_ == Role::kUnknown && kind != Kind::kHello) {
    return error("protocol_error", "The first frame of a connection must be HELLO.", true);
  }
  std::optional<Answer> answer = dispatch(kind, frame.body);
  if (broken_) return malformed("TABLE, TABLE_KEEP or ROWS");
  if (answer && answer->close) loader_.reset();
  return answer;
}

std::optional<Answer> Session::dispatch(Kind kind, std::span<const uint8_t> body) {
  const std::string_view text = as_text(body);
  switch (kind) {
    case Kind::kHello:
      return hello(Fields(body));
    case Kind::kSyncStatus:
      return sync_status(text);
    case Kind::kKeys:
      return keys(text);
    case Kind::kServe:
      return body.empty() ? serve() : malformed("SERVE");
    case Kind::kDrain:
      return drain(Fields(body));
    case Kind::kListener:
      return body.empty() ? listener() : malformed("LISTENER");
    case Kind::kQuery:
      return query(text);
    case Kind::kStatus:
      return body.empty() ? status() : malformed("STATUS");
    case Kind::kConfigure:
      return configure(text);
    default:
      return dispatch_feed(kind, body);
  }
}

std::optional<Answer> Session::dispatch_feed(Kind kind, std::span<const uint8_t> body) {
  if (role_ != Role::kSync) return error("protocol_error", "Only a sync connection may send rows.", true);
  switch (kind) {
    case Kind::kSnapshotBegin:
      return begin(Fields(body));
    case Kind::kTable:
      table(Fields(body), false);
      return std::nullopt;
    case Kind::kTableKeep:
      table(Fields(body), true);
      return std::nullopt;
    case Kind::kRows:
      rows(body);
      return std::nullopt;
    case Kind::kSnapshotCommit:
      return body.empty() ? commit() : malformed("SNAPSHOT_COMMIT");
    case Kind::kSnapshotAbort:
      if (!body.empty()) return malformed("SNAPSHOT_ABORT");
      loader_.reset();
      return Answer{};
    case Kind::kConfirm:
      return confirm(Fields(body));
    default:
      return error("protocol_error", "Unknown kind of frame.", true);
  }
}

Answer Session::hello(Fields fields) {
  const uint16_t version = fields.number<uint16_t>();
  const uint8_t role = fields.number<uint8_t>();
  const std::span<const uint8_t> fingerprint = fields.take(32);
  if (!fields.complete() || (role != kRoleSync && role != kRoleDeployer)) return malformed("HELLO");
  if (version != kProtocolVersion) {
    return error("protocol_error",
                 "This server speaks version " + std::to_string(kProtocolVersion) + " of the protocol, not " +
                     std::to_string(version) + ".",
                 true);
  }
  if (role_ != Role::kUnknown) return error("protocol_error", "HELLO was said already.", true);
  const bool unchecked = role == kRoleDeployer && std::all_of(fingerprint.begin(), fingerprint.end(),
                                                              [](uint8_t b) { return b == 0; });
  const auto& own = instance_.schema.fingerprint;
  if (!unchecked && !std::equal(own.begin(), own.end(), fingerprint.begin())) {
    return error(
        "wrong_plan",
        "The rows are meant for plan " + hex(fingerprint) + ", this server is compiled for " + hex(own) + ".",
        true);
  }
  role_ = role == kRoleSync ? Role::kSync : Role::kDeployer;
  if (role_ == Role::kSync) on_sync_();
  const View view = instance_.publication.view();
  Answer answer;
  answer.body = "{\"engine\":\"" + std::string(kEngineVersion) + "\",\"fingerprint\":\"" + hex(own) +
                "\",\"version\":" + std::to_string(view.snapshot ? info(*view.snapshot).version : 0) +
                ",\"position\":";
  append_quoted(&answer.body,
                view.snapshot ? std::string_view(info(*view.snapshot).position) : std::string_view());
  answer.body += '}';
  return answer;
}

Answer Session::begin(Fields fields) {
  const int64_t time_ms = fields.number<int64_t>();
  const std::span<const uint8_t> position = fields.take(fields.number<uint16_t>());
  if (!fields.complete()) return malformed("SNAPSHOT_BEGIN");
  failed_ = {};
  loader_ = std::make_unique<Loader>(instance_.schema, instance_.publication.view().snapshot,
                                     cap_bytes(instance_), time_ms, as_text(position));
  return {};
}

void Session::remember(const Status& status) {
  if (!status.ok() && failed_.ok()) {
    failed_ = status;
    loader_.reset();  // what was loaded is of no use any more
  }
}

void Session::table(Fields fields, bool keep) {
  const uint32_t index = fields.number<uint32_t>();
  if (!fields.complete()) {
    broken_ = true;
  } else if (loader_ != nullptr) {
    remember(keep ? loader_->keep(index) : loader_->table(index));
  } else {
    remember({"protocol_error", "TABLE came before SNAPSHOT_BEGIN."});
  }
}

void Session::rows(std::span<const uint8_t> body) {
  if (loader_ != nullptr) {
    remember(loader_->rows(body));
  } else {
    remember({"protocol_error", "ROWS came before SNAPSHOT_BEGIN."});
  }
}

Answer Session::commit() {
  SnapshotPtr snapshot;
  if (loader_ != nullptr) {
    remember(loader_->commit(&snapshot));
    loader_.reset();
  } else if (failed_.ok()) {
    failed_ = {"protocol_error", "SNAPSHOT_COMMIT came before SNAPSHOT_BEGIN."};
  }
  const Status failed = std::exchange(failed_, {});
  if (!failed.ok()) {
    if (failed.code == "cap_exceeded") instance_.notes.set_cap_exceeded(failed.message);
    log_event(LogLevel::kWarning, "snapshot_refused", {{"error", failed.code}, {"message", failed.message}});
    return error(failed.code, failed.message);
  }
  const SnapshotInfo about = info(*snapshot);
  instance_.notes.clear_cap_exceeded();
  instance_.publication.publish_snapshot(std::move(snapshot), true);
  log_event(LogLevel::kInfo, "snapshot_swapped", {{"version", about.version}, {"bytes", about.bytes}});
  return {.body = "{\"version\":" + std::to_string(about.version) + "}"};
}

Answer Session::confirm(Fields fields) {
  const int64_t time_ms = fields.number<int64_t>();
  const std::span<const uint8_t> position = fields.take(fields.number<uint16_t>());
  if (!fields.complete()) return malformed("CONFIRM");
  const View view = instance_.publication.view();
  if (view.snapshot == nullptr) return error("not_ready", "There is no snapshot to confirm.");
  instance_.publication.publish_snapshot(with_position(view.snapshot, time_ms, as_text(position)), false);
  return {};
}

Answer Session::sync_status(std::string_view body) {
  JsonValue status;
  if (!parse_json(body, &status) || !status.is(JsonValue::Kind::kObject)) return malformed("SYNC_STATUS");
  const std::string_view state = member_text(status, "state");
  if (std::find(std::begin(kStates), std::end(kStates), state) == std::end(kStates)) {
    return error("protocol_error", "SYNC_STATUS: state must be ok, loading, paused or failing.");
  }
  instance_.notes.set_sync(std::string(body), std::string(state),
                           std::string(member_text(status, "lastError")));
  return {};
}

Answer Session::keys(std::string_view body) {
  std::string reason;
  const KeyTablePtr previous = instance_.publication.view().keys;
  KeyTablePtr keys = KeyTable::parse(body, previous.get(), &reason);
  if (keys == nullptr) return error("protocol_error", reason);
  log_event(LogLevel::kInfo, "keys_replaced", {{"count", static_cast<uint64_t>(keys->size())}});
  instance_.publication.publish_keys(std::move(keys));
  return {};
}

Answer Session::serve() {
  if (instance_.publication.view().snapshot == nullptr)
    return error("not_ready", "There is no snapshot to serve yet.");
  if (!instance_.serve()) return error("not_ready", "There is no listening socket to serve on.");
  return {};
}

Answer Session::drain(Fields fields) {
  const uint32_t within_ms = fields.number<uint32_t>();
  if (!fields.complete()) return malformed("DRAIN");
  instance_.drain(within_ms);
  return {};
}

Answer Session::listener() {
  const int fd = instance_.listener();
  if (fd < 0) return error("not_ready", "This server has no listening socket.");
  return {.attached = fd};
}

Answer Session::query(std::string_view text) {
  const View view = instance_.publication.view();
  if (view.snapshot == nullptr) return error("not_ready", "There is no snapshot to query yet.");
  if (queries_ == nullptr)
    queries_ = std::make_unique<QueryEngine>(instance_.schema, instance_.options.limits);
  Answer answer;
  answer.body.clear();
  answer.ok = queries_->answer(*view.snapshot, text, &answer.body) == 200;
  return answer;
}

Answer Session::status() const {
  Answer answer;
  answer.body.clear();
  append_health(instance_, true, &answer.body);
  return answer;
}

Answer Session::configure(std::string_view body) {
  JsonValue wanted;
  if (!parse_json(body, &wanted) || !wanted.is(JsonValue::Kind::kObject)) return malformed("CONFIGURE");
  LogLevel level{};
  if (!parse_level(member_text(wanted, "logLevel"), &level)) {
    return error("protocol_error", "CONFIGURE: logLevel must be debug, info, warn or error.");
  }
  set_log_level(level);
  return {};
}

}  // namespace reflex::net
