// SQLite with owned connections, statements and transactions. database.cc is, with sql_functions, the one place that
// knows sqlite3.h; schema.h has the tables.
//
// One writer (a mutex) and any number of readers, each on a connection of its own (WAL), so that a search never waits
// for an ingest. Durability: WAL with synchronous FULL, so a commit that returned survives power loss.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace carrel::retrieval {

using RowSet = absl::flat_hash_set<int64_t>;

// One connection; used by one thread at a time. Keeps its prepared statements.
class Connection final {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Several statements without parameters or results.
  [[nodiscard]] absl::Status Execute(const std::string& sql);
  [[nodiscard]] int64_t last_row() const;
  [[nodiscard]] int64_t changed_rows() const;
  [[nodiscard]] int64_t total_changed_rows() const;  // since it was opened
  // Brings the log into the database file and cuts it to nothing; does not wait for a reader that is still in an older
  // state. False: there is one.
  [[nodiscard]] absl::StatusOr<bool> Checkpoint();

 private:
  friend class Statement;
  explicit Connection(sqlite3* db) : db_(db) {}
  [[nodiscard]] absl::Status Error(int code, std::string_view what) const;

  sqlite3* db_;
  std::unordered_map<std::string, std::vector<sqlite3_stmt*>> idle_;  // prepared and not in use
};

// A statement being run. Errors are kept: Step() is false, and status() says why, so the usual shape is
//   Statement q(db, "SELECT a FROM t WHERE b = ?1", b);
//   while (q.Step()) use(q.Int(0));
//   if (!q.ok()) return q.status();
class Statement final {
 public:
  template <typename... Args>
  Statement(Connection& connection, std::string sql, const Args&... args)
      : Statement(connection, std::move(sql), Tag{}) {
    int index = 0;
    (Bind(++index, args), ...);
  }
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // To the next row; false at the end and on an error.
  [[nodiscard]] bool Step();
  // Runs to the end.
  [[nodiscard]] absl::Status Run();
  // For the next round of a statement that is run many times.
  template <typename... Args>
  [[nodiscard]] absl::Status Again(const Args&... args) {
    Reset();
    int index = 0;
    (Bind(++index, args), ...);
    return Run();
  }
  [[nodiscard]] bool ok() const { return status_.ok(); }
  [[nodiscard]] const absl::Status& status() const { return status_; }

  [[nodiscard]] int64_t Int(int column) const;
  [[nodiscard]] double Real(int column) const;
  // Valid until the next step.
  [[nodiscard]] std::string_view Bytes(int column) const;
  [[nodiscard]] std::string Text(int column) const { return std::string(Bytes(column)); }
  [[nodiscard]] bool Null(int column) const;

 private:
  struct Tag {};
  Statement(Connection& connection, std::string sql, Tag);
  void Reset();
  void Bind(int index, int64_t value);
  void Bind(int index, uint64_t value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, uint32_t value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, int value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, const std::string& value) { BindText(index, value); }
  void Bind(int index, const char* value) { BindText(index, value); }
  struct BlobView {
    std::string_view bytes;
  };
  // For carrel_in(x, ?): must outlive the statement.
  void Bind(int index, const RowSet* rows);
  void BindText(int index, std::string_view value);

 public:
  [[nodiscard]] static BlobView Blob(std::string_view bytes) { return {bytes}; }

 private:
  void Bind(int index, const BlobView& blob);
  void Check(int code, std::string_view what);

  Connection& connection_;
  std::string sql_;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
};

template <typename... Args>
[[nodiscard]] absl::Status RunSql(Connection& connection, std::string sql, const Args&... args) {
  return Statement(connection, std::move(sql), args...).Run();
}

// Rolled back unless committed.
class Transaction final {
 public:
  [[nodiscard]] static absl::StatusOr<Transaction> Begin(Connection& connection);
  Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  [[nodiscard]] absl::Status Commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

struct DatabaseOptions {
  std::string path;
  bool sync_full = true;  // false: a commit survives kill -9, but not power loss
};

class Database final {
 public:
  // Makes or migrates the schema. DATA_LOSS: not ours or damaged; FAILED_PRECONDITION: of a newer Carrel.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Database>> Open(const DatabaseOptions& options);

  // The one connection that writes, for as long as the lease lives.
  class Writer final {
   public:
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_; }

   private:
    friend class Database;
    Writer(std::unique_lock<std::mutex> lock, Connection& connection)
        : lock_(std::move(lock)), connection_(&connection) {}
    std::unique_lock<std::mutex> lock_;
    Connection* connection_;
  };
  [[nodiscard]] Writer Write() { return {std::unique_lock(writer_mutex_), *writer_}; }
  // None: somebody writes now.
  [[nodiscard]] std::optional<Writer> TryWrite() {
    std::unique_lock lock(writer_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return std::nullopt;
    return Writer(std::move(lock), *writer_);
  }

  // A connection to read with, given back at the end. Reads are each on their own snapshot; use a Transaction for one.
  class Reader final {
   public:
    Reader(Reader&&) = default;
    Reader& operator=(Reader&&) = delete;
    ~Reader();
    Connection& operator*() const { return *connection_; }

   private:
    friend class Database;
    Reader(Database& database, std::unique_ptr<Connection> connection)
        : database_(&database), connection_(std::move(connection)) {}
    Database* database_;
    std::unique_ptr<Connection> connection_;
  };
  [[nodiscard]] absl::StatusOr<Reader> Read();

 private:
  explicit Database(DatabaseOptions options) : options_(std::move(options)) {}

  const DatabaseOptions options_;
  std::mutex writer_mutex_;
  std::unique_ptr<Connection> writer_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Connection>> readers_;  // idle ones
};

}  // namespace carrel::retrieval
