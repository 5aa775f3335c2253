#include "query_shapes.h"

#include <cassert>
#include <set>
#include <utility>

#include "json_out.h"

namespace reflex {

namespace {

using Named = std::set<std::pair<std::string_view, std::string_view>>;

// Gathers what a plan uses.
class Uses {
 public:
  explicit Uses(const SchemaDef& schema) : schema_(schema) {}

  void selection(const PlanSelection& of) {
    table(of.table);
    if (of.filtered) test(of.table, of.where);
    access(of);
    for (const OrderKey& key : of.order) filter(of.table, key.column);
    if (of.backwards) key_of(of.table);
    for (const RelatedKey& key : of.related_order) related(of.table, key);
    if (of.page != nullptr) {
      for (const OrderKey& key : of.page->keys) filter(of.table, key.column);
    }
    for (const PlanField& field : of.fields) {
      if (field.kind == PlanField::Kind::kColumn) {
        name(&columns_, of.table, field.column);
      } else {
        step(field.step);
        selection(*field.selection);
      }
    }
    if (of.grouping != nullptr) grouping(of.table, *of.grouping);
  }

  const std::set<std::string_view>& tables() const { return tables_; }

  std::string text() const {
    std::string out = "{\"tables\":[";
    for (const std::string_view each : tables_) {
      if (out.back() != '[') out += ',';
      append_json_string(&out, each);
    }
    list("columns", columns_, &out);
    list("filters", filters_, &out);
    list("relations", relations_, &out);
    out += "]}";
    return out;
  }

 private:
  const TableDef& table(uint32_t index) {
    const TableDef& found = schema_.tables[index];
    tables_.insert(found.name);
    return found;
  }
  void name(Named* names, uint32_t of, uint16_t column) {
    const TableDef& found = table(of);
    names->emplace(found.name, found.columns[column].name);
  }
  void filter(uint32_t of, uint16_t column) { name(&filters_, of, column); }
  void key_of(uint32_t of) {
    for (const uint16_t column : schema_.tables[of].primary_key) filter(of, column);
  }

  // A test that the way in has made superfluous may be left out of the condition.
  void access(const PlanSelection& of) {
    if (of.access.kind == Access::Kind::kKey) key_of(of.table);
    if (of.access.kind != Access::Kind::kParent) return;
    for (const uint16_t column : schema_.tables[of.table].forward[of.access.forward].columns) {
      filter(of.table, column);
    }
  }

  void step(const Step& of) {
    const ForwardDef& forward = table(of.child).forward[of.forward];
    if (!of.reverse) {
      relations_.emplace(schema_.tables[of.child].name, forward.name);
    } else {
      for (const ReverseDef& back : table(forward.target).reverse) {
        if (back.child == of.child && back.forward == of.forward) {
          relations_.emplace(schema_.tables[forward.target].name, back.name);
        }
      }
    }
    if (of.through) {
      const TableDef& joining = schema_.tables[of.child];
      relations_.emplace(joining.name, joining.forward[of.onward].name);
    }
    table(of.to);
  }

  void aggregate(uint32_t of, const PlanAggregate& what) {
    if (what.has_column) name(&columns_, of, what.column);
  }

  void test(uint32_t of, const Pred& pred) {
    switch (pred.kind) {
      case Pred::Kind::kAnd:
      case Pred::Kind::kOr:
        for (const Pred& kid : pred.kids) test(of, kid);
        break;
      case Pred::Kind::kTest:
        filter(of, pred.column);
        break;
      case Pred::Kind::kAny:
        step(pred.step);
        for (const Pred& kid : pred.kids) test(pred.step.to, kid);
        break;
      case Pred::Kind::kAggregate:
        step(pred.step);
        if (pred.aggregate.has_column) filter(pred.step.to, pred.aggregate.column);
        break;
    }
  }

  void related(uint32_t of, const RelatedKey& key) {
    for (const Step& each : key.path) {
      step(each);
      of = each.to;
    }
    if (key.of_aggregate) {
      step(key.step);
      of = key.step.to;
    }
    if (key.aggregate.has_column || !key.of_aggregate) filter(of, key.aggregate.column);
  }

  void grouping(uint32_t of, const PlanGrouping& what) {
    for (const GroupColumn& column : what.columns) {
      for (const Step& each : column.path) step(each);
      filter(column.table, column.column);
    }
    for (const PlanAggregate& each : what.aggregates) aggregate(of, each);
  }

  static void list(std::string_view title, const Named& names, std::string* out) {
    *out += "],\"";
    *out += title;
    *out += "\":[";
    for (const auto& [of, each] : names) {
      if (out->back() != '[') *out += ',';
      *out += '[';
      append_json_string(out, of);
      *out += ',';
      append_json_string(out, each);
      *out += ']';
    }
  }

  const SchemaDef& schema_;
  std::set<std::string_view> tables_;
  Named columns_;
  Named filters_;
  Named relations_;
};

}  // namespace

std::string shape_of(const SchemaDef& schema, const Plan& plan) {
  Uses uses(schema);
  uses.selection(plan.root);
  for (const Plan& one : plan.further) uses.selection(one.root);
  return uses.text();
}

std::set<std::string_view> tables_of(const SchemaDef& schema, const Plan& plan) {
  Uses uses(schema);
  uses.selection(plan.root);
  for (const Plan& one : plan.further) uses.selection(one.root);
  return uses.tables();
}

uint32_t ShapeCounts::place_of(std::string shape) {
  if (shape.size() > kMaxShapeBytes) return kMaxShapes;
  std::lock_guard lock(mutex_);
  const auto found = places_.find(shape);
  if (found != places_.end()) return found->second;
  if (places_.size() >= kMaxShapes) return kMaxShapes;
  const auto place = static_cast<uint32_t>(places_.size());
  places_.emplace(std::move(shape), place);
  assert(place < kMaxShapes);
  return place;
}

void ShapeCounts::take(std::map<std::string, uint64_t>* shapes, uint64_t* other) {
  std::lock_guard lock(mutex_);
  const auto fresh = [this](uint32_t place) {
    const uint64_t now = counts_[place].load(std::memory_order_relaxed);
    return now - std::exchange(taken_[place], now);
  };
  for (const auto& [shape, place] : places_) {
    const uint64_t count = fresh(place);
    if (count > 0) (*shapes)[shape] += count;
  }
  *other += fresh(kMaxShapes);
}

}  // namespace reflex
