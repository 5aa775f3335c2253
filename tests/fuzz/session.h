// A sync session without sockets: takes frames of the private socket apart and carries them out on a snapshot
// of its own. For fuzz targets; belongs to one input.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "changes.h"
#include "feed_frames.h"
#include "schema.h"
#include "snapshot.h"

namespace fuzz {

class Session {
 public:
  // Frames one after the other, as far as they are whole.
  void feed(reflex::net::Bytes data) {
    using namespace reflex::net;
    while (data.size() > kFrameHeadBytes) {
      const auto length = frame_length(data.first<kFrameHeadBytes>());
      data = data.subspan(kFrameHeadBytes);
      if (!length || *length > data.size()) return;
      // A copy of exactly this size, so that the sanitizer sees a read beyond it.
      const std::unique_ptr<uint8_t[]> exact(new uint8_t[*length]);
      std::copy_n(data.data(), *length, exact.get());
      if (is_request(exact[0])) frame(static_cast<FrameKind>(exact[0]), {exact.get() + 1, *length - 1});
      data = data.subspan(*length);
    }
  }

  const reflex::SnapshotPtr& snapshot() const { return snapshot_; }

 private:
  static constexpr uint64_t kCap = 64 << 20;

  void frame(reflex::net::FrameKind kind, reflex::net::Bytes body) {
    using reflex::net::FrameKind;
    switch (kind) {
      case FrameKind::kHello:
        reflex::net::parse_hello(body);
        return;
      case FrameKind::kSnapshotBegin:
        if (const auto moment = reflex::net::parse_moment(body)) {
          loader_ = std::make_unique<reflex::Loader>(reflex::schema(), snapshot_, kCap,
                                                     moment->source_time_ms, moment->position);
        }
        return;
      case FrameKind::kTable:
      case FrameKind::kTableKeep:
        return table(kind, body);
      case FrameKind::kRows:
        if (changes_ != nullptr) {
          changes_->replacement(body);
        } else if (loader_ != nullptr) {
          loader_->rows(body);
        }
        return;
      case FrameKind::kSnapshotCommit:
        if (const auto loader = std::move(loader_)) loader->commit(&snapshot_);
        return;
      case FrameKind::kChangesBegin:
        if (snapshot_ != nullptr)
          changes_ = std::make_unique<reflex::Changes>(reflex::schema(), snapshot_, kCap);
        return;
      case FrameKind::kChanges:
        if (changes_ != nullptr) changes_->rows(body);
        return;
      case FrameKind::kChangesCommit:
        if (const auto changes = std::move(changes_)) changes->commit(1, "fuzz", {}, &snapshot_);
        return;
      default:
        reflex::net::parse_changes_begin(body);
    }
  }

  void table(reflex::net::FrameKind kind, reflex::net::Bytes body) {
    const auto index = reflex::net::parse_u32(body);
    if (!index) return;
    if (changes_ != nullptr) {
      changes_->replace(*index);
    } else if (loader_ != nullptr) {
      kind == reflex::net::FrameKind::kTable ? loader_->table(*index) : loader_->keep(*index);
    }
  }

  reflex::SnapshotPtr snapshot_;
  std::unique_ptr<reflex::Loader> loader_;
  std::unique_ptr<reflex::Changes> changes_;
};

}  // namespace fuzz
