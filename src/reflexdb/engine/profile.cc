#include "profile.h"

#include <cstdio>
#include <string_view>
#include <utility>

#include "json_out.h"

namespace reflex {

namespace {

class Account {
 public:
  Account(const SchemaDef& schema, const Snapshot& snapshot, const Profile& profile)
      : schema_(schema), snapshot_(snapshot), profile_(profile) {}

  void whole(const Plan& plan, uint64_t answer_bytes, bool cached) {
    out_ = "{\"snapshotVersion\":" + std::to_string(snapshot_.info.version) +
           ",\"planCached\":" + (cached ? "true" : "false");
    std::chrono::nanoseconds time{0};
    const auto add = [&](const Plan& one) { time += part(one.root).time; };
    add(plan);
    for (const Plan& one : plan.further) add(one);
    out_ += ",\"answerBytes\":" + std::to_string(answer_bytes);
    milliseconds(time);
    out_ += ",\"selections\":[";
    root(plan);
    for (const Plan& one : plan.further) {
      out_ += ',';
      root(one);
    }
    out_ += "]}";
  }
  std::string take() { return std::move(out_); }

 private:
  const Profile::Part& part(const PlanSelection& selection) const {
    static const Profile::Part kNone;
    const auto found = profile_.parts.find(&selection);
    return found == profile_.parts.end() ? kNone : found->second;
  }

  void text(std::string_view name, std::string_view value) {
    out_ += ",\"";
    out_ += name;
    out_ += "\":";
    append_json_string(&out_, value);
  }
  void number(std::string_view name, uint64_t value) {
    out_ += ",\"";
    out_ += name;
    out_ += "\":" + std::to_string(value);
  }
  void milliseconds(std::chrono::nanoseconds time) {
    char digits[48];
    std::snprintf(digits, sizeof(digits), ",\"timeMs\":%.6f", static_cast<double>(time.count()) / 1e6);
    out_ += digits;
  }

  // A planned key is `{"users":` or `,"users":`; without one the selection is the table's.
  void selection(std::string_view key, const PlanSelection& of) {
    out_ += "{\"selection\":";
    if (key.size() > 2) {
      out_ += key.substr(1, key.size() - 2);
    } else {
      append_json_string(&out_, schema_.tables[of.table].name);
    }
    text("table", schema_.tables[of.table].name);
  }

  void root(const Plan& plan) {
    selection(plan.key, plan.root);
    const TableDef& table = schema_.tables[plan.root.table];
    const Access& access = plan.root.access;
    const bool by_index = part(plan.root).by_index;
    if (by_index && access.kind == Access::Kind::kKey) {
      text("access", "primary key");
      columns(table, table.primary_key);
    } else if (by_index) {
      text("access", "relation");
      text("relation", table.forward[access.forward].name);
      columns(table, table.forward[access.forward].columns);
    } else if (plan.root.page != nullptr && plan.root.page->has_after && plan.root.in_row_order()) {
      text("access", "behind the cursor");
    } else {
      text("access", "every row");
    }
    rest(plan.root, by_index && access.exact);
  }

  void columns(const TableDef& table, std::span<const uint16_t> indexes) {
    out_ += ",\"columns\":[";
    for (size_t i = 0; i < indexes.size(); ++i) {
      if (i != 0) out_ += ',';
      append_json_string(&out_, table.columns[indexes[i]].name);
    }
    out_ += ']';
  }

  void rest(const PlanSelection& of, bool exact) {
    out_ += ",\"filtered\":";
    out_ += of.filtered && !exact ? "true" : "false";
    text("order", of.grouping != nullptr     ? "groups"
                  : of.in_row_order()        ? "as stored"
                  : of.backwards             ? "as stored, backwards"
                  : of.related_order.empty() ? "sorted"
                                             : "sorted by related values");
    const Profile::Part& counted = part(of);
    number("calls", counted.calls);
    number("rowsLookedAt", counted.looked);
    number("rowsOut", counted.out);
    milliseconds(counted.time);
    const Table& table = snapshot_.table(of.table);
    number("tableRows", table.live());
    number("tableBytes", table.bytes);
    out_ += ",\"selections\":[";
    bool first = true;
    for (const PlanField& field : of.fields) {
      if (field.selection == nullptr) continue;
      if (!std::exchange(first, false)) out_ += ',';
      selection(field.key, *field.selection);
      text("access", field.step.through ? "relation through a joining table" : "relation");
      rest(*field.selection, false);
    }
    out_ += "]}";
  }

  const SchemaDef& schema_;
  const Snapshot& snapshot_;
  const Profile& profile_;
  std::string out_;
};

}  // namespace

std::string explanation(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan,
                        const Profile& profile, uint64_t answer_bytes, bool cached) {
  Account account(schema, snapshot, profile);
  account.whole(plan, answer_bytes, cached);
  return account.take();
}

}  // namespace reflex
