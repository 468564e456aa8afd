#include "gateway/server/assembly.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gateway/core/assistants.h"
#include "gateway/core/ingester.h"
#include "gateway/core/system.h"
#include "gateway/core/threads.h"
#include "gateway/core/uploads.h"
#include "gateway/storage/sqlite_storage.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// Between two looks for what has expired.
constexpr absl::Duration kHousekeepingInterval = absl::Minutes(1);

// Durable, mode 0600, whole or not there.
absl::Status WriteSecretFile(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  int fd = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  bool good = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (good && rename(beside.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return absl::InternalError("cannot write " + path);
}

std::string FirstLineOf(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace

class Assembly::Impl {
 public:
  Impl(AssemblyOptions options, Outside outside, std::unique_ptr<SqliteStorage> storage)
      : options_(std::move(options)),
        outside_(outside),
        storage_(std::move(storage)),
        backing_{storage_->repository(), outside.files, outside.search, clock_, ids_},
        ingester_(backing_),
        stores_(backing_, ingester_),
        threads_(backing_, stores_),
        assistants_(backing_, stores_),
        files_(backing_),
        containers_(backing_, files_, outside.containers),
        uploads_(backing_, files_),
        keys_(backing_),
        executor_({backing_, storage_->run_log(), outside.model, outside.code, threads_, stores_}, options_.executor) {}
  ~Impl() {
    Drain(absl::ZeroDuration());
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    if (housekeeper_.joinable()) housekeeper_.join();
  }

  absl::Status Start();
  void Drain(absl::Duration patience) {
    if (http_ != nullptr) http_->Drain(patience);
  }

  const std::string& address() const { return http_->address(); }
  const std::string& new_key() const { return new_key_; }
  Stores& stores() { return stores_; }
  Files& files() { return files_; }
  Keys& keys() { return keys_; }
  Containers& containers() { return containers_; }

 private:
  absl::Status MakeFirstKey();
  void KeepHouse();

  AssemblyOptions options_;
  Outside outside_;
  SystemClock clock_;
  RandomIds ids_;
  std::unique_ptr<SqliteStorage> storage_;
  Backing backing_;
  Ingester ingester_;
  Stores stores_;
  Threads threads_;
  Assistants assistants_;
  Files files_;
  Containers containers_;
  Uploads uploads_;
  Keys keys_;
  RunExecutor executor_;
  std::string new_key_;
  std::unique_ptr<http::Server> http_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread housekeeper_;
};

absl::Status Assembly::Impl::MakeFirstKey() {
  GATEWAY_ASSIGN_OR_RETURN(std::vector<ApiKey> known, keys_.List());
  if (!known.empty()) return absl::OkStatus();
  // Who gave it has it: it is neither kept nor shown.
  if (!options_.bootstrap_key.empty()) return keys_.Bootstrap(options_.bootstrap_key).status();
  // The file first: a crash in between leaves a file whose key the next start takes.
  const std::string path = options_.data_dir + "/root.key";
  std::string secret = FirstLineOf(path);
  if (secret.empty()) secret = Keys::NewSecret();
  GATEWAY_RETURN_IF_ERROR(WriteSecretFile(path, secret + "\n"));
  GATEWAY_ASSIGN_OR_RETURN(new_key_, keys_.Bootstrap(secret));
  return absl::OkStatus();
}

absl::Status Assembly::Impl::Start() {
  GATEWAY_RETURN_IF_ERROR(files_.RemoveOrphans());
  GATEWAY_RETURN_IF_ERROR(MakeFirstKey());
  GATEWAY_RETURN_IF_ERROR(executor_.Recover());
  http::Options options = options_.http;
  options.admin_socket = options_.data_dir + "/admin.sock";
  GATEWAY_ASSIGN_OR_RETURN(http_, http::Server::Start(std::move(options), {.assistants = assistants_,
                                                                           .threads = threads_,
                                                                           .files = files_,
                                                                           .stores = stores_,
                                                                           .keys = keys_,
                                                                           .containers = containers_,
                                                                           .uploads = uploads_,
                                                                           .repository = storage_->repository(),
                                                                           .runs = executor_,
                                                                           .run_log = storage_->run_log(),
                                                                           .model = outside_.model,
                                                                           .ids = ids_,
                                                                           .describe = options_.describe}));
  housekeeper_ = std::thread([this] { KeepHouse(); });
  return absl::OkStatus();
}

void Assembly::Impl::KeepHouse() {
  while (true) {
    // What fails is tried again at the next look.
    stores_.ExpireDue().IgnoreError();
    files_.DeleteExpired().IgnoreError();
    uploads_.ExpireDue().IgnoreError();
    containers_.ForgetOld().IgnoreError();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kHousekeepingInterval)) return;
  }
}

Assembly::Assembly(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Assembly::~Assembly() = default;

absl::StatusOr<std::unique_ptr<Assembly>> Assembly::Start(AssemblyOptions options, Outside outside) {
  std::error_code error;
  std::filesystem::create_directories(options.data_dir, error);
  if (error) return absl::InternalError(absl::StrCat("cannot create ", options.data_dir, ": ", error.message()));
  GATEWAY_ASSIGN_OR_RETURN(
      std::unique_ptr<SqliteStorage> storage,
      SqliteStorage::Open({.path = options.data_dir + "/gateway.db",
                           .sync = options.full_sync ? SqliteStorage::Sync::kFull : SqliteStorage::Sync::kNormal}));
  std::unique_ptr<Assembly> assembly(
      new Assembly(std::make_unique<Impl>(std::move(options), outside, std::move(storage))));
  GATEWAY_RETURN_IF_ERROR(assembly->impl_->Start());
  return assembly;
}

const std::string& Assembly::address() const { return impl_->address(); }
const std::string& Assembly::new_key() const { return impl_->new_key(); }
Stores& Assembly::stores() { return impl_->stores(); }
Files& Assembly::files() { return impl_->files(); }
Keys& Assembly::keys() { return impl_->keys(); }
Containers& Assembly::containers() { return impl_->containers(); }
void Assembly::Drain(absl::Duration patience) { impl_->Drain(patience); }

}  // namespace carrel::gateway
