// A connection to SQLite and its prepared statements. Thread-compatible.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace carrel::gateway {

// A statement in use: bound, stepped, and reset when it goes out of scope. The text of columns is valid until the next
// step.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  ~Statement();
  Statement(Statement&& other) noexcept : statement_(other.statement_), next_(other.next_) {
    other.statement_ = nullptr;
  }
  Statement& operator=(Statement&&) = delete;

  // Binds the next parameter, from left to right.
  Statement& Bind(std::string_view text);
  Statement& Bind(int64_t number);
  Statement& BindNull();

  // true: a row; false: the end.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  std::string Text(int column) const;
  int64_t Integer(int column) const;

 private:
  sqlite3_stmt* statement_;
  int next_ = 1;
};

class Database {
 public:
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, bool writer);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Prepared once for each text.
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // One or more statements without parameters.
  absl::Status Execute(const std::string& sql);

 private:
  explicit Database(sqlite3* connection) : connection_(connection) {}

  sqlite3* connection_;
  std::unordered_map<std::string, sqlite3_stmt*> prepared_;
};

// The status of a result code, with what SQLite says of it.
absl::Status SqliteStatus(sqlite3* connection, int code);

}  // namespace carrel::gateway
