// Places in a source's history as text, and whether one contains another: what a client waits for, and what a
// snapshot has.
//
//     1776254400000017                                snapshot version of this instance
//     16/B374D848                                     PostgreSQL: log sequence number
//     0-1-42,1-7-9                                    MariaDB: the last GTID of each domain
//     3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7      MySQL: intervals of each server,
//     3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:blue:1   and of each of its tags
//     binlog.000003:4711                              MySQL and MariaDB without GTIDs: file and offset
//
// Values; any thread. sources/mysql/binlog/gtid.py reads the same forms.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reflex::net {

class Position {
 public:
  enum class Form : uint8_t { kNone, kVersion, kLsn, kMaria, kGtidSet, kFile };

  // Form kNone where the text is no position. Cost and memory go with its length, which the caller bounds.
  static Position parse(std::string_view text);

  Form form() const { return form_; }
  uint64_t number() const { return number_; }

  // Can one of the two contain the other at all? Not so for files of two servers.
  bool comparable(const Position& other) const;
  // Is everything up to `other` at or before this? Requires: comparable(other).
  bool contains(const Position& other) const;

  size_t memory() const { return sizeof *this + base_.capacity() + runs_.capacity() * sizeof(Run); }

 private:
  // Of one source (a server's UUID, or a domain in the first four bytes), numbers first to last.
  struct Run {
    std::array<uint8_t, 16> source;
    std::array<char, 32> tag;  // of MySQL; zeros: none
    uint64_t first;
    uint64_t last;

    bool same_source(const Run& other) const { return source == other.source && tag == other.tag; }
    bool before(const Run& other) const {
      if (source != other.source) return source < other.source;
      return tag != other.tag ? tag < other.tag : first < other.first;
    }
  };

  bool parse_lsn(std::string_view text);
  bool parse_file(std::string_view text);
  bool parse_maria(std::string_view text);
  bool parse_gtid_set(std::string_view text);
  void merge();
  bool covers(const Run& wanted) const;

  Form form_ = Form::kNone;
  uint64_t number_ = 0;    // version, log sequence number, or offset in the file
  uint64_t file_ = 0;      // the file's number
  std::string base_;       // the file's name without it
  std::vector<Run> runs_;  // sorted, of one source not touching
};

// For a client who asks in another form: what is understood, after "must be".
std::string_view describe(Position::Form form);

}  // namespace reflex::net
