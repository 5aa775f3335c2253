#include "bind.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "access.h"
#include "json_out.h"

namespace reflex {

namespace {

using ast::Expr;

class Binder {
 public:
  Binder(const SchemaDef& schema, Plan* plan) : schema_(schema), plan_(plan) {}

  QueryError run(const ast::Selection& query) {
    for (uint32_t index = 0; index < schema_.tables.size(); ++index) {
      if (schema_.tables[index].name != query.name.text) continue;
      plan_->root.table = index;
      selection(query, &plan_->root, true);
      if (error_.ok()) choose_access(schema_, plan_->operands, &plan_->root);
      return error_;
    }
    std::vector<std::string_view> names;
    for (const TableDef& table : schema_.tables) names.push_back(table.name);
    return error_at("unknown_table", query.name.at, "There is no table " + quoted(query.name.text) + ".",
                    suggestion(query.name.text, names));
  }

 private:
  bool fail(QueryError error) {
    if (error_.ok()) error_ = std::move(error);
    return false;
  }

  const TableDef& def(uint32_t table) const { return schema_.tables[table]; }

  bool find_column(uint32_t table, std::string_view name, uint16_t* out) const {
    const auto& columns = def(table).columns;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].visible || columns[i].name != name) continue;
      *out = static_cast<uint16_t>(i);
      return true;
    }
    return false;
  }

  Step forward_step(uint32_t table, size_t index) const {
    return {false, table, static_cast<uint32_t>(index), def(table).forward[index].target};
  }

  Step reverse_step(const ReverseDef& reverse) const {
    return {true, reverse.child, reverse.forward, reverse.child};
  }

  bool find_relation(uint32_t table, std::string_view name, Step* out) const {
    const TableDef& from = def(table);
    for (size_t i = 0; i < from.forward.size(); ++i) {
      if (!from.forward[i].visible || from.forward[i].name != name) continue;
      *out = forward_step(table, i);
      return true;
    }
    for (const ReverseDef& reverse : from.reverse) {
      if (reverse.name != name) continue;
      *out = reverse_step(reverse);
      return true;
    }
    return false;
  }

  bool unknown(uint32_t table, const ast::Name& name, const char* wanted) {
    const TableDef& from = def(table);
    uint16_t column = 0;
    Step step;
    const std::string where = "Table " + quoted(from.name) + " has no " + wanted + " " + quoted(name.text);
    if (find_column(table, name.text, &column)) {
      return fail(error_at("unknown_field", name.at, where + "; that is a column."));
    }
    if (find_relation(table, name.text, &step)) {
      return fail(error_at("unknown_field", name.at, where + "; that is a relation.",
                           "say which of its fields: " + name.text + " { id } or " + name.text + " { * }"));
    }
    std::vector<std::string_view> names;
    for (const ColumnDef& known : from.columns) {
      if (known.visible) names.push_back(known.name);
    }
    for (const ForwardDef& known : from.forward) {
      if (known.visible) names.push_back(known.name);
    }
    for (const ReverseDef& known : from.reverse) names.push_back(known.name);
    return fail(error_at("unknown_field", name.at, where + ".", suggestion(name.text, names)));
  }

  bool selection(const ast::Selection& query, PlanSelection* out, bool many) {
    if (!many && (!query.order.empty() || query.limit || query.offset)) {
      return fail(error_at(
          "syntax_error", query.clauses_at,
          "ORDER BY, LIMIT and OFFSET need many rows, but " + quoted(query.name.text) + " is one object."));
    }
    if (query.where != nullptr) {
      out->filtered = true;
      if (!predicate(*query.where, out->table, false, &out->where)) return false;
    }
    if (query.limit) out->limit = *query.limit;
    if (query.offset) out->offset = *query.offset;
    return order(query, out) && fields(query, out);
  }

  bool order(const ast::Selection& query, PlanSelection* out) {
    for (const ast::OrderItem& item : query.order) {
      OrderKey key{0, item.descending, item.nulls_first};
      if (!find_column(out->table, item.column.text, &key.column))
        return unknown(out->table, item.column, "column");
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

  bool fields(const ast::Selection& query, PlanSelection* out) {
    std::unordered_set<std::string_view> asked;
    size_t wildcards = 0;
    for (const ast::Field& field : query.fields) {
      const bool wildcard = field.kind == ast::Field::Kind::kStar || field.kind == ast::Field::Kind::kDots;
      if (wildcard && ++wildcards > 1) {
        return fail(error_at("syntax_error", field.name.at, "One wildcard is enough: `...` contains `*`."));
      }
      if (!wildcard && !asked.insert(field.name.text).second) {
        return fail(error_at("syntax_error", field.name.at,
                             "The field " + quoted(field.name.text) + " is asked for twice."));
      }
    }
    for (const ast::Field& field : query.fields) {
      if (!one_field(field, asked, out)) return false;
    }
    return true;
  }

  bool one_field(const ast::Field& field, const std::unordered_set<std::string_view>& asked,
                 PlanSelection* out) {
    switch (field.kind) {
      case ast::Field::Kind::kStar:
        every_column(asked, out);
        return true;
      case ast::Field::Kind::kDots:
        every_column(asked, out);
        every_relation(asked, out);
        return true;
      case ast::Field::Kind::kRelation: {
        Step step;
        if (!find_relation(out->table, field.name.text, &step))
          return unknown(out->table, field.name, "relation");
        return selection(*field.selection, add_relation(field.name.text, step, out), step.reverse);
      }
      default: {
        uint16_t column = 0;
        if (!find_column(out->table, field.name.text, &column))
          return unknown(out->table, field.name, "column");
        add_column(column, out);
        return true;
      }
    }
  }

  static std::string key_text(std::string_view name, const PlanSelection& selection) {
    std::string key = selection.fields.empty() ? "{" : ",";
    append_json_string(&key, name);
    return key + ":";
  }

  void add_column(uint16_t column, PlanSelection* out) const {
    PlanField field;
    field.key = key_text(def(out->table).columns[column].name, *out);
    field.column = column;
    out->fields.push_back(std::move(field));
  }

  static PlanSelection* add_relation(std::string_view name, const Step& step, PlanSelection* out) {
    PlanField field;
    field.kind = step.reverse ? PlanField::Kind::kReverse : PlanField::Kind::kForward;
    field.key = key_text(name, *out);
    field.step = step;
    field.selection = std::make_unique<PlanSelection>();
    field.selection->table = step.to;
    PlanSelection* selection = field.selection.get();
    out->fields.push_back(std::move(field));
    return selection;
  }

  // What is asked for by name stands where it was asked for; a wildcard gives the rest.
  void every_column(const std::unordered_set<std::string_view>& asked, PlanSelection* out) const {
    const auto& columns = def(out->table).columns;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].visible && !asked.contains(columns[i].name)) add_column(static_cast<uint16_t>(i), out);
    }
  }

  void every_relation(const std::unordered_set<std::string_view>& asked, PlanSelection* out) const {
    const TableDef& from = def(out->table);
    const auto add = [&](std::string_view name, const Step& step) {
      uint16_t column = 0;
      if (asked.contains(name) || find_column(out->table, name, &column)) return;  // the name is the column's
      every_column({}, add_relation(name, step, out));
    };
    for (size_t i = 0; i < from.forward.size(); ++i) {
      if (from.forward[i].visible) add(from.forward[i].name, forward_step(out->table, i));
    }
    for (const ReverseDef& reverse : from.reverse) add(reverse.name, reverse_step(reverse));
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
    out->operand = static_cast<uint32_t>(plan_->operands.size());
    const QueryError error =
        bind_operand(def(table).columns[out->column], expr, &plan_->operands.emplace_back());
    if (error.ok()) note_site(expr, def(table).columns[out->column], out->operand);
    return error.ok() || fail(error);
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
  Plan* plan_;
  QueryError error_;
};

}  // namespace

QueryError bind_query(const SchemaDef& schema, const ast::Selection& query, Plan* out) {
  return Binder(schema, out).run(query);
}

}  // namespace reflex
