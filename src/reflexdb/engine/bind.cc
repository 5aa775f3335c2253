#include "bind.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "access.h"
#include "aggregate.h"
#include "bind_page.h"
#include "field_keys.h"
#include "json_out.h"
#include "lookup.h"
#include "parser.h"

namespace reflex {

namespace {

using ast::Expr;

class Binder {
 public:
  Binder(const SchemaDef& schema, Parameters parameters, Plan* plan)
      : schema_(schema), parameters_(parameters), plan_(plan) {}

  QueryError run(const ast::Selection& query) {
    for (uint32_t index = 0; index < schema_.tables.size(); ++index) {
      if (schema_.tables[index].name != query.name.text) continue;
      plan_->root.table = index;
      if (!selection(query, &plan_->root, true)) return error_;
      choose_access(schema_, plan_->operands, &plan_->root);
      error_ = bind_page(schema_, query, parameters_, plan_);
      return error_;
    }
    std::vector<std::string_view> names;
    for (const TableDef& table : schema_.tables) names.push_back(table.name);
    return error_at("unknown_table", query.name.at, "There is no table " + quote(query.name.text) + ".",
                    suggestion(query.name.text, names));
  }

 private:
  bool fail(QueryError error) {
    if (error_.ok()) error_ = std::move(error);
    return false;
  }

  const TableDef& def(uint32_t table) const { return schema_.tables[table]; }

  bool find_column(uint32_t table, std::string_view name, uint16_t* out) const {
    return reflex::find_column(def(table), name, out);
  }
  bool find_relation(uint32_t table, std::string_view name, Step* out) const {
    return reflex::find_relation(schema_, table, name, out);
  }
  bool unknown(uint32_t table, const ast::Name& name, const char* wanted) {
    return fail(unknown_field(schema_, table, name, wanted));
  }

  bool selection(const ast::Selection& query, PlanSelection* out, bool many) {
    if (!many && (!query.order.empty() || query.limit || query.offset || !query.group.empty())) {
      return fail(error_at("syntax_error", query.clauses_at,
                           "GROUP BY, ORDER BY, LIMIT and OFFSET need many rows, but " +
                               quote(query.name.text) + " is one object."));
    }
    if (query.after && out != &plan_->root) {
      return fail(error_at("syntax_error", query.after->at, "AFTER stands in the outermost selection only."));
    }
    if (query.where != nullptr) {
      out->filtered = true;
      if (!predicate(*query.where, out->table, false, &out->where)) return false;
    }
    if (!(query.limit ? count(*query.limit, &out->limit) : true)) return false;
    if (!(query.offset ? count(*query.offset, &out->offset) : true)) return false;
    const auto folds = [](const ast::Field& field) { return field.kind == ast::Field::Kind::kAggregate; };
    const auto first = std::find_if(query.fields.begin(), query.fields.end(), folds);
    if (query.group.empty() && first == query.fields.end()) return order(query, out) && fields(query, out);
    if (!many) {
      return fail(error_at("syntax_error", first->name.at,
                           "Aggregates need many rows, but " + quote(query.name.text) + " is one object."));
    }
    return grouping(query, out);
  }

  bool count(const ast::Count& count, uint64_t* out) {
    QueryError error = bind_count(parameters_, count, out);
    return error.ok() || fail(std::move(error));
  }

  bool order(const ast::Selection& query, PlanSelection* out) {
    const auto is_related = [](const ast::OrderItem& item) { return item.aggregate || item.path.size() > 1; };
    if (std::any_of(query.order.begin(), query.order.end(), is_related)) return related_order(query, out);
    for (const ast::OrderItem& item : query.order) {
      OrderKey key{0, item.descending, item.nulls_first};
      if (!find_column(out->table, item.path[0].text, &key.column))
        return unknown(out->table, item.path[0], "column");
      out->order.push_back(key);
    }
    simplify_order(def(out->table), out);
    return true;
  }

  // Rows are stored by primary key, so asking for that order, or its reverse, needs no sorting. A key's
  // columns may be null in theory, hence only columns that can't be.
  static void simplify_order(const TableDef& table, PlanSelection* out) {
    const auto& key = table.primary_key;
    if (out->order.empty() || key.empty()) return;
    const bool descending = out->order[0].descending;
    for (size_t i = 0; i < key.size() && i < out->order.size(); ++i) {
      if (out->order[i].column != key[i] || out->order[i].descending != descending) return;
      if (table.columns[key[i]].nullable) return;
    }
    if (out->order.size() < key.size() && descending) return;  // ties must stay in ascending row order
    out->order.clear();
    out->backwards = descending;
  }

  bool related_order(const ast::Selection& query, PlanSelection* out) {
    for (const ast::OrderItem& item : query.order) {
      RelatedKey& key = out->related_order.emplace_back();
      key.descending = item.descending;
      key.nulls_first = item.nulls_first;
      key.of_aggregate = item.aggregate.has_value();
      uint32_t table = out->table;
      for (size_t i = 0; i + 1 < item.path.size(); ++i) {
        Step step;
        if (!find_relation(table, item.path[i].text, &step)) return unknown(table, item.path[i], "relation");
        if (step.reverse) {
          return fail(
              error_at("syntax_error", item.path[i].at,
                       "Rows can't be ordered by " + quote(item.path[i].text) + ", which leads to many rows.",
                       "an aggregate of it is one value: " + item.path[i].text + ".count()"));
        }
        key.path.push_back(step);
        table = step.to;
      }
      if (item.aggregate) {
        if (!last_step(item.path, table, *item.aggregate, &key.step)) return false;
        if (!aggregate(*item.aggregate, key.step.to, &key.aggregate)) return false;
        continue;
      }
      key.aggregate.function = ast::Aggregate::Function::kMin;
      key.aggregate.has_column = true;
      if (!find_column(table, item.path.back().text, &key.aggregate.column))
        return unknown(table, item.path.back(), "column");
    }
    return true;
  }

  // The relation whose rows an aggregate folds: the path's last, to many.
  bool last_step(const std::vector<ast::Name>& path, uint32_t table, const ast::Aggregate& call, Step* out) {
    if (path.empty()) {
      return fail(error_at("syntax_error", call.at, "An aggregate here needs a relation whose rows it is of.",
                           "write posts.count(); conditions on groups stand behind HAVING"));
    }
    if (!find_relation(table, path.back().text, out)) return unknown(table, path.back(), "relation");
    if (out->reverse) return true;
    return fail(error_at("syntax_error", path.back().at,
                         "Aggregates need many rows, but " + quote(path.back().text) + " is one object."));
  }

  bool aggregate(const ast::Aggregate& call, uint32_t table, PlanAggregate* out) {
    using Function = ast::Aggregate::Function;
    out->function = call.function;
    out->has_column = call.column.has_value();
    if (!call.column) return true;
    if (!find_column(table, call.column->text, &out->column)) return unknown(table, *call.column, "column");
    const ColumnDef& column = def(table).columns[out->column];
    out->storage = column.storage;
    if (call.function == Function::kSum || call.function == Function::kAvg) {
      if (!is_summable(column.storage))
        return mismatch(column, call.column->at, " is no number; sum and avg take numbers.");
    }
    if ((call.function == Function::kMin || call.function == Function::kMax) &&
        column.storage == Storage::kJson) {
      return mismatch(column, call.column->at, " has no order; min and max need one.");
    }
    return true;
  }

  bool mismatch(const ColumnDef& column, size_t at, const std::string& why) {
    return fail(error_at("type_mismatch", at,
                         "Column " + quote(column.name) + " (" + std::string(column.declared) + ")" + why));
  }

  // Equal aggregates are computed once.
  bool shared_aggregate(const ast::Aggregate& call, const PlanSelection& in, PlanGrouping* grouping,
                        uint32_t* out) {
    PlanAggregate one;
    if (!aggregate(call, in.table, &one)) return false;
    const auto same = [&one](const PlanAggregate& other) {
      return one.function == other.function && one.has_column == other.has_column &&
             one.column == other.column;
    };
    auto& all = grouping->aggregates;
    const auto found = std::find_if(all.begin(), all.end(), same);
    *out = static_cast<uint32_t>(found - all.begin());
    if (found == all.end()) all.push_back(one);
    return true;
  }

  // The column that a path leads to, along relations to one row each.
  bool path_column(const std::vector<ast::Name>& path, uint32_t table, GroupColumn* out) {
    out->table = table;
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      Step step;
      if (!find_relation(out->table, path[i].text, &step)) return unknown(out->table, path[i], "relation");
      if (step.reverse) {
        return fail(
            error_at("syntax_error", path[i].at,
                     "Rows can't be grouped by " + quote(path[i].text) + ", which leads to many rows."));
      }
      out->path.push_back(step);
      out->table = step.to;
    }
    return find_column(out->table, path.back().text, &out->column) ||
           unknown(out->table, path.back(), "column");
  }

  static std::vector<GroupColumn>::const_iterator find_group(const PlanGrouping& grouping,
                                                             const GroupColumn& column) {
    const auto same_step = [](const Step& a, const Step& b) {
      return a.child == b.child && a.forward == b.forward;
    };
    return std::ranges::find_if(grouping.columns, [&](const GroupColumn& known) {
      return known.column == column.column && std::ranges::equal(known.path, column.path, same_step);
    });
  }

  bool group_column(const std::vector<ast::Name>& path, const PlanSelection& in, const PlanGrouping& grouping,
                    uint32_t* out) {
    GroupColumn column;
    if (!path_column(path, in.table, &column)) return false;
    const auto found = find_group(grouping, column);
    *out = static_cast<uint32_t>(found - grouping.columns.begin());
    if (found != grouping.columns.end()) return true;
    std::string text = path[0].text;
    for (size_t i = 1; i < path.size(); ++i) text += "." + path[i].text;
    return fail(error_at("syntax_error", path[0].at,
                         "The column " + quote(text) +
                             " has many values here; it stands neither behind "
                             "GROUP BY nor in an aggregate.",
                         "write GROUP BY " + text + (path.size() == 1 ? ", or max(" + text + ")" : "")));
  }

  bool grouping(const ast::Selection& query, PlanSelection* out) {
    out->grouping = std::make_unique<PlanGrouping>();
    PlanGrouping* to = out->grouping.get();
    to->grouped = !query.group.empty();
    if (!to->grouped && (!query.order.empty() || query.limit || query.offset)) {
      return fail(
          error_at("syntax_error", query.clauses_at,
                   "Without GROUP BY aggregates give one object; ORDER BY, LIMIT and OFFSET say nothing."));
    }
    for (const std::vector<ast::Name>& path : query.group) {
      GroupColumn column;
      if (!path_column(path, out->table, &column)) return false;
      const ColumnDef& known = def(column.table).columns[column.column];
      if (known.storage == Storage::kJson) return mismatch(known, path.back().at, " can't be grouped by.");
      if (find_group(*to, column) != to->columns.end()) {
        return fail(
            error_at("syntax_error", path[0].at, quote(path.back().text) + " stands twice behind GROUP BY."));
      }
      to->columns.push_back(std::move(column));
    }
    std::unordered_set<std::string_view> keys;
    for (const ast::Field& field : query.fields) {
      if (!group_field(field, *out, to)) return false;
      if (!keys.insert(field.key.text).second) return twice(field);
    }
    if (!group_order(query, *out, to)) return false;
    to->has_having = query.having != nullptr;
    return !to->has_having || group_predicate(*query.having, *out, false, &to->having);
  }

  bool group_field(const ast::Field& field, const PlanSelection& in, PlanGrouping* to) {
    PlanGrouping::Key key;
    key.name = field.key.text;
    key.key = to->fields.empty() ? "{" : ",";
    append_json_string(&key.key, field.key.text);
    key.key += ':';
    key.of_aggregate = field.kind == ast::Field::Kind::kAggregate;
    if (field.kind != ast::Field::Kind::kColumn && !key.of_aggregate) {
      return fail(
          error_at("syntax_error", field.name.at,
                   "Beside aggregates there is room for columns behind GROUP BY only, not for wildcards "
                   "or relations."));
    }
    const bool good =
        key.of_aggregate
            ? shared_aggregate(field.aggregate, in, to, &key.index)
            : group_column(field.path.empty() ? std::vector{field.name} : field.path, in, *to, &key.index);
    to->fields.push_back(std::move(key));
    return good;
  }

  bool group_operand(const std::vector<ast::Name>& path, const std::optional<ast::Aggregate>& call, size_t at,
                     const PlanSelection& in, PlanGrouping* to, uint32_t* index) {
    if (call && path.empty()) return shared_aggregate(*call, in, to, index);
    if (!call) return group_column(path, in, *to, index);
    return fail(
        error_at("syntax_error", at, "Groups have aggregates of their own rows only, not of relations."));
  }

  bool group_order(const ast::Selection& query, const PlanSelection& in, PlanGrouping* to) {
    for (const ast::OrderItem& item : query.order) {
      PlanGrouping::Key key;
      key.descending = item.descending;
      key.nulls_first = item.nulls_first;
      key.of_aggregate = item.aggregate.has_value();
      const size_t at = item.path.empty() ? item.aggregate->at : item.path[0].at;
      if (!group_operand(item.path, item.aggregate, at, in, to, &key.index)) return false;
      to->order.push_back(key);
    }
    for (uint32_t i = 0; i < to->columns.size(); ++i) {
      PlanGrouping::Key key;
      key.index = i;
      to->order.push_back(key);
    }
    return true;
  }

  bool group_predicate(const Expr& expr, const PlanSelection& in, bool negate, GroupPred* out) {
    PlanGrouping* to = in.grouping.get();
    switch (expr.kind) {
      case Expr::Kind::kNot:
        return group_predicate(*expr.kids[0], in, !negate, out);
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr:
        out->kind = ((expr.kind == Expr::Kind::kAnd) != negate) ? Pred::Kind::kAnd : Pred::Kind::kOr;
        for (const auto& kid : expr.kids) {
          if (!group_predicate(*kid, in, negate, &out->kids.emplace_back())) return false;
        }
        return true;
      case Expr::Kind::kRelation:
        return fail(error_at("syntax_error", expr.at, "Groups have no relations."));
      default:
        break;
    }
    out->negated = expr.negated != negate;
    out->of_aggregate = expr.aggregate.has_value();
    if (!group_operand(expr.path, expr.aggregate, expr.at, in, to, &out->index)) return false;
    if (out->of_aggregate)
      return aggregate_operand(expr, in.table, to->aggregates[out->index], &out->operand);
    const GroupColumn& column = to->columns[out->index];
    return operand(def(column.table).columns[column.column], expr, &out->operand);
  }

  // Aggregates compare as the column does (min, max), as doubles, or exactly.
  bool aggregate_operand(const Expr& expr, uint32_t table, const PlanAggregate& plan, uint32_t* out) {
    using Function = ast::Aggregate::Function;
    if (plan.function == Function::kMin || plan.function == Function::kMax) {
      return operand(def(table).columns[plan.column], expr, out);
    }
    const std::string name = aggregate_name(*expr.aggregate);
    const bool floats = plan.function != Function::kCount && key_class(plan.storage) == KeyClass::kFloat;
    const ColumnDef column{name, "an aggregate", {},   floats ? Storage::kF64 : Storage::kDecimal,
                           true, true,           true, nullptr};
    return operand(column, expr, out);
  }

  bool operand(const ColumnDef& column, const Expr& expr, uint32_t* out) {
    *out = static_cast<uint32_t>(plan_->operands.size());
    Operand& to = plan_->operands.emplace_back();
    const auto is_parameter = [](const ast::Literal& literal) {
      return literal.kind == ast::Literal::Kind::kParameter;
    };
    QueryError error;
    if (std::any_of(expr.literals.begin(), expr.literals.end(), is_parameter)) {
      Expr bound;
      bound.op = expr.op;
      bound.negated = expr.negated;
      bound.at = expr.at;
      bound.literals = expr.literals;
      for (ast::Literal& literal : bound.literals) {
        if (!is_parameter(literal)) continue;
        const ast::Literal use = literal;
        error = bind_parameter(parameters_, use, column.storage, &literal);
        if (!error.ok()) return fail(std::move(error));
      }
      error = bind_operand(column, bound, &to);
    } else {
      error = bind_operand(column, expr, &to);
    }
    return error.ok() || fail(std::move(error));
  }

  bool twice(const ast::Field& field) {
    return fail(error_at("syntax_error", field.key.at,
                         "The field " + quote(field.key.text) + " is asked for twice.",
                         "an alias tells them apart: other: " + field.name.text));
  }

  bool fields(const ast::Selection& query, PlanSelection* out) {
    const FieldKeys keys(schema_, out->table, query);
    if (QueryError error = keys.check(); !error.ok()) return fail(std::move(error));
    for (size_t i = 0; i < query.fields.size(); ++i) {
      if (!one_field(query.fields[i], keys.of(i), keys, out)) return false;
    }
    return true;
  }

  bool one_field(const ast::Field& field, const std::string& key, const FieldKeys& keys, PlanSelection* out) {
    switch (field.kind) {
      case ast::Field::Kind::kStar:
        every_column(&keys, out);
        return true;
      case ast::Field::Kind::kDots:
        every_column(&keys, out);
        every_relation(keys, out);
        return true;
      case ast::Field::Kind::kRelation: {
        Step step;
        if (!find_relation(out->table, field.name.text, &step))
          return unknown(out->table, field.name, "relation");
        return selection(*field.selection, add_relation(key, step, out), step.reverse);
      }
      default: {
        if (!field.path.empty()) {
          return fail(
              error_at("syntax_error", field.path[1].at,
                       "A related row's column stands in a selection only where rows are grouped by it.",
                       "write " + field.path[0].text + " { " + field.path[1].text + " }"));
        }
        uint16_t column = 0;
        if (!find_column(out->table, field.name.text, &column))
          return unknown(out->table, field.name, "column");
        add_column(column, key, out);
        return true;
      }
    }
  }

  static std::string key_text(std::string_view name, const PlanSelection& selection) {
    std::string key = selection.fields.empty() ? "{" : ",";
    append_json_string(&key, name);
    return key + ":";
  }

  static void add_column(uint16_t column, std::string_view key, PlanSelection* out) {
    PlanField field;
    field.name = key;
    field.key = key_text(key, *out);
    field.column = column;
    out->fields.push_back(std::move(field));
  }

  static PlanSelection* add_relation(std::string_view name, const Step& step, PlanSelection* out) {
    PlanField field;
    field.kind = step.reverse ? PlanField::Kind::kReverse : PlanField::Kind::kForward;
    field.name = name;
    field.key = key_text(name, *out);
    field.step = step;
    field.selection = std::make_unique<PlanSelection>();
    field.selection->table = step.to;
    PlanSelection* selection = field.selection.get();
    out->fields.push_back(std::move(field));
    return selection;
  }

  // What is asked for by name stands where it was asked for; a wildcard gives the rest.
  void every_column(const FieldKeys* keys, PlanSelection* out) const {
    const auto& columns = def(out->table).columns;
    for (size_t i = 0; i < columns.size(); ++i) {
      const ColumnDef& column = columns[i];
      if (!column.visible || !column.in_star || (keys != nullptr && keys->replaces(column.name))) continue;
      add_column(static_cast<uint16_t>(i), columns[i].name, out);
    }
  }

  void every_relation(const FieldKeys& keys, PlanSelection* out) const {
    const TableDef& from = def(out->table);
    const auto add = [&](const auto& relation, const Step& step) {
      uint16_t column = 0;
      if (find_column(out->table, relation.name, &column)) return;  // the name is the column's
      if (keys.replaces(relation.name) || keys.asks_for(relation)) return;
      every_column(nullptr, add_relation(relation.name, step, out));
    };
    for (size_t i = 0; i < from.forward.size(); ++i) {
      if (from.forward[i].visible) add(from.forward[i], forward_step(schema_, out->table, i));
    }
    for (const ReverseDef& reverse : from.reverse) add(reverse, reverse_step(reverse));
  }

  // NOT is carried down: NOT (a AND b) is NOT a OR NOT b, with unknowns too.
  bool predicate(const Expr& expr, uint32_t table, bool negate, Pred* out) {
    switch (expr.kind) {
      case Expr::Kind::kNot:
        return predicate(*expr.kids[0], table, !negate, out);
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr:
        out->kind = ((expr.kind == Expr::Kind::kAnd) != negate) ? Pred::Kind::kAnd : Pred::Kind::kOr;
        for (const auto& kid : expr.kids) {
          if (!predicate(*kid, table, negate, &out->kids.emplace_back())) return false;
        }
        return true;
      default:
        return along(expr, 0, table, negate, out);
    }
  }

  // From part `at` of the path: relations lead on, the last part of a comparison is a column.
  bool along(const Expr& expr, size_t at, uint32_t table, bool negate, Pred* out) {
    const bool relation_end = expr.kind == Expr::Kind::kRelation;
    if (expr.aggregate && at + 1 >= expr.path.size()) return aggregate_test(expr, table, negate, out);
    if (at == expr.path.size()) return predicate(*expr.kids[0], table, false, out);
    if (at + 1 == expr.path.size() && !relation_end) return test(expr, table, negate, out);
    Step step;
    if (!find_relation(table, expr.path[at].text, &step)) return unknown(table, expr.path[at], "relation");
    out->kind = Pred::Kind::kAny;
    out->negated = negate;
    out->step = step;
    return along(expr, at + 1, step.to, false, &out->kids.emplace_back());
  }

  bool test(const Expr& expr, uint32_t table, bool negate, Pred* out) {
    if (!find_column(table, expr.path.back().text, &out->column))
      return unknown(table, expr.path.back(), "column");
    out->kind = Pred::Kind::kTest;
    out->negated = expr.negated != negate;
    const ColumnDef& column = def(table).columns[out->column];
    if (!operand(column, expr, &out->operand)) return false;
    note_site(expr, column, out->operand);
    return true;
  }

  bool aggregate_test(const Expr& expr, uint32_t table, bool negate, Pred* out) {
    out->kind = Pred::Kind::kAggregate;
    out->negated = expr.negated != negate;
    return last_step(expr.path, table, *expr.aggregate, &out->step) &&
           aggregate(*expr.aggregate, out->step.to, &out->aggregate) &&
           aggregate_operand(expr, out->step.to, out->aggregate, &out->operand);
  }

  void note_site(const Expr& expr, const ColumnDef& column, uint32_t operand) {
    if (expr.literals.size() != 1 || expr.op > ast::Op::kGe) return;
    auto comparison = std::make_unique<Expr>();
    comparison->op = expr.op;
    comparison->negated = expr.negated;
    comparison->literals = expr.literals;
    plan_->sites.push_back({operand, &column, std::move(comparison)});
  }

  const SchemaDef& schema_;
  Parameters parameters_;
  Plan* plan_;
  QueryError error_;
};

}  // namespace

QueryError bind_query(const SchemaDef& schema, const ast::Query& query, Parameters parameters, Plan* out) {
  const auto& selections = query.selections;
  out->explained = query.explained;
  if (selections.size() == 1) return Binder(schema, parameters, out).run(selections[0]);
  std::unordered_set<std::string_view> keys;
  out->further.reserve(selections.size() - 1);
  for (const ast::Selection& selection : selections) {
    Plan* plan = keys.empty() ? out : &out->further.emplace_back();
    if (!keys.insert(selection.key.text).second) {
      return error_at("syntax_error", selection.key.at,
                      "The answer would have two parts named " + quote(selection.key.text) + ".",
                      "an alias tells them apart: other: " + selection.name.text);
    }
    plan->key = keys.size() == 1 ? "{" : ",";
    append_json_string(&plan->key, selection.key.text);
    plan->key += ':';
    QueryError error = Binder(schema, parameters, plan).run(selection);
    if (!error.ok()) return error;
  }
  return {};
}

}  // namespace reflex
