// The repository and the runs' log in one SQLite database (WAL).
//
// One writer thread applies what is queued, each piece in a savepoint, and commits them together: many small writes
// cost one flush. Events of runs that nobody waits for are written with the next write that somebody waits for, 10 ms
// later at most. Reads run on the caller's thread on pooled connections, each seeing one consistent state. A database
// of an older schema is migrated when it is opened; one of a newer is refused.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/ports/repository.h"
#include "gateway/ports/run_log.h"

namespace carrel::gateway {

class SqliteStorage {
 public:
  enum class Sync {
    kFull,    // a commit survives power loss
    kNormal,  // a commit survives the death of the process
  };
  struct Options {
    std::string path;
    Sync sync = Sync::kFull;
    int readers = 4;
  };

  // FAILED_PRECONDITION: another process has it, or its schema is newer than this program.
  static absl::StatusOr<std::unique_ptr<SqliteStorage>> Open(const Options& options);
  ~SqliteStorage();

  Repository& repository();
  RunLog& run_log();

 private:
  class Impl;
  explicit SqliteStorage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace carrel::gateway
