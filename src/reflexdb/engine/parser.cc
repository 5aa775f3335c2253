#include "parser.h"

#include <charconv>
#include <utility>

#include "lexer.h"
#include "utf8.h"

namespace reflex {

namespace {

using ast::Expr;
using ast::Op;

bool is_comparison(std::string_view symbol) {
  return symbol == "=" || symbol == "!=" || symbol == "<>" || symbol == "<" || symbol == "<=" ||
         symbol == ">" || symbol == ">=";
}

bool find_aggregate(std::string_view name, ast::Aggregate::Function* out) {
  using Function = ast::Aggregate::Function;
  constexpr std::pair<std::string_view, Function> kKnown[] = {{"COUNT", Function::kCount},
                                                              {"SUM", Function::kSum},
                                                              {"AVG", Function::kAvg},
                                                              {"MIN", Function::kMin},
                                                              {"MAX", Function::kMax}};
  for (const auto& [word, function] : kKnown) {
    if (!same_word(name, word)) continue;
    *out = function;
    return true;
  }
  return false;
}

class Parser {
 public:
  Parser(std::string_view text, uint32_t max_depth) : text_(text), lexer_(text), max_depth_(max_depth) {
    advance();
  }

  QueryError run(ast::Query* out) {
    if (whole_query(out)) {
      out->has_parameters = has_parameters_;
      return {};
    }
    return lexer_.error().ok() ? error_ : lexer_.error();  // a faulty token explains best
  }

 private:
  // Every parsing function returns false once an error is set.
  bool fail(size_t at, std::string message, std::string hint = {}) {
    if (error_.ok()) error_ = error_at("syntax_error", at, std::move(message), std::move(hint));
    return false;
  }

  bool expected(const std::string& what) {
    const std::string found =
        cur_.kind == TokenKind::kEnd ? "the query ends" : "there is " + quote(cur_.text);
    return fail(cur_.at, "Expected " + what + ", but " + found + ".");
  }

  void advance() { cur_ = lexer_.next(); }
  Token peek() const { return Lexer(lexer_).next(); }
  bool is_symbol(std::string_view symbol) const {
    return cur_.kind == TokenKind::kSymbol && cur_.text == symbol;
  }
  static bool is_word(const Token& token, std::string_view upper) {
    return token.kind == TokenKind::kName && !token.backquoted && same_word(token.text, upper);
  }
  bool is_word(std::string_view upper) const { return is_word(cur_, upper); }
  bool accept(std::string_view symbol) {
    if (!is_symbol(symbol)) return false;
    advance();
    return true;
  }
  bool accept_word(std::string_view upper) {
    if (!is_word(upper)) return false;
    advance();
    return true;
  }
  bool expect(std::string_view symbol, const std::string& what) { return accept(symbol) || expected(what); }

  bool enter() {
    if (++depth_ <= max_depth_) return true;
    return too_deep(cur_.at);
  }
  void leave() { --depth_; }
  bool too_deep(size_t at) {
    if (error_.ok()) {
      error_ =
          limit_error("The query nests deeper than the " + std::to_string(max_depth_) + " levels allowed.");
      error_.has_position = true;
      error_.at = at;
    }
    return false;
  }

  bool whole_query(ast::Query* out) {
    if (is_word("EXPLAIN") && peek().kind == TokenKind::kName) {
      out->explained = true;
      advance();
    }
    if (cur_.kind != TokenKind::kName) return expected("a table's name");
    do {
      ast::Name key;
      if (!alias(&key)) return false;
      ast::Selection one;
      if (!selection(&one)) return false;
      one.key = key.text.empty() ? one.name : std::move(key);
      out->selections.push_back(std::move(one));
    } while (cur_.kind == TokenKind::kName);
    return cur_.kind == TokenKind::kEnd && lexer_.error().ok() ? true : expected("the end of the query");
  }

  bool name(ast::Name* out, const std::string& what) {
    if (cur_.kind != TokenKind::kName) return expected(what);
    if (cur_.value.empty()) return fail(cur_.at, "A name between backquotes must not be empty.");
    *out = {cur_.value, cur_.at};
    advance();
    return true;
  }

  // [name ':'], left empty where there is none.
  bool alias(ast::Name* out) {
    if (cur_.kind != TokenKind::kName || peek().text != ":") return true;
    if (!name(out, "an alias")) return false;
    advance();
    return cur_.kind == TokenKind::kName || expected("a name after the alias");
  }

  // '$' name, directly behind it.
  bool parameter(std::string* out) {
    const size_t at = cur_.at;
    advance();
    if (cur_.kind != TokenKind::kName || cur_.backquoted || cur_.at != at + 1) {
      return fail(at, "Expected a parameter's name right after `$`.",
                  "write $id, and give id in the URL: /query?id=42");
    }
    if (cur_.value == "q") return fail(at, "No parameter can be called q; in a URL that is the query.");
    *out = cur_.value;
    advance();
    has_parameters_ = true;
    return true;
  }

  bool selection(ast::Selection* out) {
    if (!name(&out->name, "a name")) return false;
    if (is_symbol("(") && !clauses(out)) return false;
    return block(out);
  }

  // '(' [condition] [GROUP BY ... [HAVING ...]] [ORDER BY ...] [LIMIT n] [OFFSET n] ')'
  bool clauses(ast::Selection* out) {
    advance();
    if (!enter()) return false;
    const size_t from = cur_.at;
    if (!is_symbol(")") && !starts_clause() && !disjunction(&out->where)) return false;
    out->clauses_at = cur_.at;
    while (starts_clause() && (is_word("GROUP") || is_word("ORDER"))) {
      if (!clause(out)) return false;
    }
    out->shape = shape(text_.substr(from, cur_.at - from));
    while (starts_clause()) {
      if (!clause(out)) return false;
    }
    if (!is_symbol(")")) return expected("AND, OR, GROUP BY, ORDER BY, LIMIT, OFFSET, AFTER or `)`");
    leave();
    advance();
    return true;
  }

  // The same for the same tokens (FNV-1a).
  static uint64_t shape(std::string_view text) {
    uint64_t hash = 0xCBF29CE484222325ULL;
    const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3ULL; };
    Lexer lexer(text);
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      for (const char c : token.text) add(static_cast<uint8_t>(c));
      add(0);
    }
    return hash;
  }

  bool starts_clause() const {
    if (cur_.kind != TokenKind::kName || cur_.backquoted) return false;
    if (is_word("ORDER") || is_word("GROUP")) return is_word(peek(), "BY");
    if (is_word("LIMIT") || is_word("OFFSET") || is_word("AFTER")) {
      const Token next = peek();
      return next.kind != TokenKind::kName && !is_comparison(next.text) && next.text != ".";
    }
    return false;
  }

  bool clause(ast::Selection* out) {
    const size_t at = cur_.at;
    if (accept_word("GROUP")) {
      if (!out->group.empty() || !out->order.empty() || out->limit || out->offset || out->after) {
        return fail(at, "GROUP BY stands once, before ORDER BY, LIMIT and OFFSET.");
      }
      advance();  // BY, as starts_clause saw
      return grouping(out);
    }
    if (accept_word("AFTER")) {
      if (out->after) return fail(at, "AFTER stands once.");
      return cursor(&out->after.emplace());
    }
    if (accept_word("ORDER")) {
      if (!out->order.empty() || out->limit || out->offset || out->after) {
        return fail(at, "ORDER BY stands once, before LIMIT, OFFSET and AFTER.");
      }
      advance();  // BY, as starts_clause saw
      return order_items(out);
    }
    const bool limit = is_word("LIMIT");
    advance();
    std::optional<ast::Count>* to = limit ? &out->limit : &out->offset;
    if (*to) return fail(at, std::string(limit ? "LIMIT" : "OFFSET") + " is given twice.");
    return count(limit ? "LIMIT" : "OFFSET", to);
  }

  bool count(const std::string& word, std::optional<ast::Count>* out) {
    ast::Count number;
    number.at = cur_.at;
    if (is_symbol("$")) {
      if (!parameter(&number.parameter)) return false;
      *out = std::move(number);
      return true;
    }
    if (cur_.kind != TokenKind::kNumber) return expected("a number after " + word);
    const char* end = cur_.text.data() + cur_.text.size();
    const auto result = std::from_chars(cur_.text.data(), end, number.value);
    if (result.ec != std::errc() || result.ptr != end) {
      return fail(cur_.at, word + " takes a whole number that is not negative.");
    }
    *out = std::move(number);
    advance();
    return true;
  }

  bool order_items(ast::Selection* out) {
    do {
      ast::OrderItem item;
      if (!operand("a column's name after ORDER BY", &item.path, &item.aggregate)) return false;
      item.descending = accept_word("DESC");
      if (!item.descending) accept_word("ASC");
      item.nulls_first = item.descending;  // NULLs count as the greatest, as in PostgreSQL
      if (accept_word("NULLS")) {
        item.nulls_first = is_word("FIRST");
        if (!accept_word("FIRST") && !accept_word("LAST")) return expected("FIRST or LAST after NULLS");
      }
      out->order.push_back(std::move(item));
    } while (accept(","));
    return true;
  }

  bool cursor(ast::Literal* out) {
    out->at = cur_.at;
    if (is_symbol("$")) {
      out->kind = ast::Literal::Kind::kParameter;
      return parameter(&out->text);
    }
    if (cur_.kind != TokenKind::kString) return expected("a cursor between quotes after AFTER");
    out->text = std::move(cur_.value);
    advance();
    return true;
  }

  // path {, path} [HAVING condition]
  bool grouping(ast::Selection* out) {
    do {
      std::optional<ast::Aggregate> call;
      if (!operand("a column's name after GROUP BY", &out->group.emplace_back(), &call)) return false;
      if (call) return fail(call->at, "Rows are grouped by columns, not by aggregates.");
    } while (accept(","));
    return !accept_word("HAVING") || disjunction(&out->having);
  }

  // name {'.' name} ['(' ')' | '(' name ')'], where the last is an aggregate.
  bool operand(const std::string& what, std::vector<ast::Name>* path,
               std::optional<ast::Aggregate>* aggregate) {
    do {
      if (is_aggregate_call()) return call(&aggregate->emplace());
      if (!name(&path->emplace_back(), what)) return false;
      if (path->size() + depth_ > max_depth_) return too_deep(path->back().at);
    } while (accept("."));
    return true;
  }

  bool call(ast::Aggregate* out) {
    out->at = cur_.at;
    find_aggregate(cur_.text, &out->function);
    advance();
    advance();  // '(', as is_aggregate_call saw
    if (cur_.kind == TokenKind::kName && !name(&out->column.emplace(), "a column's name")) return false;
    if (!out->column && out->function != ast::Aggregate::Function::kCount) return expected("a column's name");
    return expect(")", "`)`");
  }

  bool block(ast::Selection* out) {
    if (!expect("{", "`{` and the fields wanted")) return false;
    if (!enter()) return false;
    while (!is_symbol("}")) {
      ast::Field field;
      if (!one_field(&field)) return false;
      out->fields.push_back(std::move(field));
    }
    if (out->fields.empty()) {
      return fail(cur_.at, "A selection needs at least one field.", "`*` selects every field");
    }
    leave();
    advance();
    return true;
  }

  bool one_field(ast::Field* field) {
    field->name.at = cur_.at;
    if (accept("*")) {
      field->kind = ast::Field::Kind::kStar;
      return true;
    }
    if (accept("...")) {
      field->kind = ast::Field::Kind::kDots;
      return true;
    }
    if (is_symbol(",")) return fail(cur_.at, "Fields are separated by spaces, not by commas.");
    if (cur_.kind != TokenKind::kName) return expected("a field's name or `}`");
    if (!alias(&field->key)) return false;
    if (!named_field(field)) return false;
    if (field->key.text.empty()) field->key = field->name;
    return true;
  }

  bool named_field(ast::Field* field) {
    const Token next = peek();
    if (next.kind == TokenKind::kSymbol && (next.text == "{" || next.text == "(")) {
      if (is_aggregate_call(true)) {
        field->kind = ast::Field::Kind::kAggregate;
        if (!call(&field->aggregate)) return false;
        field->name = {aggregate_name(field->aggregate), field->aggregate.at};
        return true;
      }
      field->kind = ast::Field::Kind::kRelation;
      field->selection = std::make_unique<ast::Selection>();
      if (!selection(field->selection.get())) return false;
      field->name = field->selection->name;
      return true;
    }
    if (!name(&field->name, "a field's name")) return false;
    return !is_symbol(".") || field_path(field);
  }

  // Behind its first name: a column of a related row, where rows are grouped by it.
  bool field_path(ast::Field* field) {
    field->path.push_back(field->name);
    while (accept(".")) {
      if (!name(&field->path.emplace_back(), "a column's name")) return false;
      if (field->path.size() + depth_ > max_depth_) return too_deep(field->path.back().at);
      field->name.text += '_' + field->path.back().text;
    }
    return true;
  }

  // count() or sum(column): the parentheses of a relation hold more than a name, and in a selection braces
  // follow.
  bool is_aggregate_call(bool in_selection = false) const {
    ast::Aggregate::Function function{};
    if (cur_.kind != TokenKind::kName || cur_.backquoted || !find_aggregate(cur_.text, &function))
      return false;
    Lexer ahead(lexer_);
    if (ahead.next().text != "(") return false;
    Token token = ahead.next();
    if (token.kind == TokenKind::kName) token = ahead.next();
    return token.kind == TokenKind::kSymbol && token.text == ")" &&
           !(in_selection && ahead.next().text == "{");
  }

  bool joined(std::unique_ptr<Expr>* out, Expr::Kind kind, std::string_view word) {
    const auto part = [&](std::unique_ptr<Expr>* to) {
      return kind == Expr::Kind::kOr ? conjunction(to) : unary(to);
    };
    std::unique_ptr<Expr> first;
    if (!part(&first)) return false;
    if (!is_word(word)) {
      *out = std::move(first);
      return true;
    }
    auto list = std::make_unique<Expr>();
    list->kind = kind;
    list->at = first->at;
    list->kids.push_back(std::move(first));
    while (accept_word(word)) {
      std::unique_ptr<Expr> next;
      if (!part(&next)) return false;
      list->kids.push_back(std::move(next));
    }
    *out = std::move(list);
    return true;
  }

  bool disjunction(std::unique_ptr<Expr>* out) { return joined(out, Expr::Kind::kOr, "OR"); }
  bool conjunction(std::unique_ptr<Expr>* out) { return joined(out, Expr::Kind::kAnd, "AND"); }

  bool parenthesised(std::unique_ptr<Expr>* out) {
    advance();
    if (!enter() || !disjunction(out)) return false;
    leave();
    return expect(")", "AND, OR or `)`");
  }

  bool unary(std::unique_ptr<Expr>* out) {
    const size_t at = cur_.at;
    bool negate = false;
    while (is_word("NOT") && !is_comparison(peek().text) && peek().text != ".") {
      negate = !negate;
      advance();
    }
    std::unique_ptr<Expr> inner;
    if (!(is_symbol("(") ? parenthesised(&inner) : comparison(&inner))) return false;
    if (negate) {
      *out = std::make_unique<Expr>();
      (*out)->kind = Expr::Kind::kNot;
      (*out)->at = at;
      (*out)->kids.push_back(std::move(inner));
    } else {
      *out = std::move(inner);
    }
    return true;
  }

  bool comparison(std::unique_ptr<Expr>* out) {
    auto expr = std::make_unique<Expr>();
    expr->at = cur_.at;
    if (cur_.kind == TokenKind::kString || cur_.kind == TokenKind::kNumber) {
      return fail(cur_.at, "A condition starts with a field's name.",
                  "the literal stands on the right: id = 42");
    }
    if (!operand("a field's name", &expr->path, &expr->aggregate)) return false;
    if (is_symbol("(") && !expr->aggregate) {
      expr->kind = Expr::Kind::kRelation;
      expr->kids.emplace_back();
      depth_ += static_cast<uint32_t>(expr->path.size());  // each relation is a level of evaluation
      const bool good = parenthesised(&expr->kids[0]);
      depth_ -= static_cast<uint32_t>(expr->path.size());
      *out = std::move(expr);
      return good;
    }
    const bool good = operation(expr.get());
    *out = std::move(expr);
    return good;
  }

  bool operation(Expr* expr) {
    if (cur_.kind == TokenKind::kSymbol && is_comparison(cur_.text)) {
      const std::string_view symbol = cur_.text;
      expr->negated = symbol == "!=" || symbol == "<>";
      expr->op = symbol == "<"    ? Op::kLt
                 : symbol == "<=" ? Op::kLe
                 : symbol == ">"  ? Op::kGt
                 : symbol == ">=" ? Op::kGe
                                  : Op::kEq;
      advance();
      return literal(expr);
    }
    if (accept_word("IS")) {
      expr->op = Op::kIsNull;
      expr->negated = accept_word("NOT");
      return accept_word("NULL") || expected("NULL or NOT NULL after IS");
    }
    expr->negated = accept_word("NOT");
    if (accept_word("IN")) return in_list(expr);
    if (accept_word("BETWEEN")) {
      expr->op = Op::kBetween;
      if (!literal(expr)) return false;
      return (accept_word("AND") || expected("AND between the two bounds")) && literal(expr);
    }
    const bool like = is_word("LIKE");
    if (accept_word("LIKE") || accept_word("ILIKE")) {
      expr->op = like ? Op::kLike : Op::kILike;
      return literal(expr);
    }
    return expected("a comparison (=, !=, <, <=, >, >=, LIKE, ILIKE, IN, BETWEEN, IS NULL)");
  }

  bool in_list(Expr* expr) {
    expr->op = Op::kIn;
    if (!expect("(", "`(` after IN")) return false;
    do {
      if (!literal(expr)) return false;
    } while (accept(","));
    return expect(")", "`,` or `)` in the list after IN");
  }

  bool literal(Expr* expr) {
    ast::Literal out;
    out.at = cur_.at;
    if (cur_.kind == TokenKind::kString) {
      out.kind = ast::Literal::Kind::kString;
      out.text = std::move(cur_.value);
    } else if (cur_.kind == TokenKind::kNumber) {
      out.kind = ast::Literal::Kind::kNumber;
      out.text = cur_.text;
    } else if (is_word("TRUE")) {
      out.kind = ast::Literal::Kind::kTrue;
    } else if (is_word("FALSE")) {
      out.kind = ast::Literal::Kind::kFalse;
    } else if (is_symbol("$")) {
      out.kind = ast::Literal::Kind::kParameter;
      if (!parameter(&out.text)) return false;
      expr->literals.push_back(std::move(out));
      return true;
    } else if (is_word("NULL")) {
      return fail(cur_.at, "Nothing compares with NULL.", "write IS NULL or IS NOT NULL");
    } else if (cur_.kind == TokenKind::kName) {
      return fail(cur_.at, "Expected a literal, but there is the name " + quote(cur_.text) + ".",
                  "text goes between quotes");
    } else {
      return expected("a literal (text between quotes, a number, true or false)");
    }
    expr->literals.push_back(std::move(out));
    advance();
    return true;
  }

  std::string_view text_;
  Lexer lexer_;
  Token cur_;
  QueryError error_;
  uint32_t max_depth_;
  uint32_t depth_ = 0;
  bool has_parameters_ = false;
};

}  // namespace

std::string aggregate_name(const ast::Aggregate& aggregate) {
  constexpr std::string_view kNames[] = {"count", "sum", "avg", "min", "max"};
  std::string text(kNames[static_cast<size_t>(aggregate.function)]);
  if (aggregate.column) text += "_" + aggregate.column->text;
  return text;
}

QueryError parse_query(std::string_view text, uint32_t max_depth, ast::Query* out) {
  const size_t bad = utf8_error(text);
  if (bad != std::string_view::npos)
    return error_at("syntax_error", bad, "The query is not valid UTF-8 from here on.");
  return Parser(text, max_depth).run(out);
}

}  // namespace reflex
