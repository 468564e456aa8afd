// Brings the files of stores from "in progress" to their end: hands them to the search tool and asks how far they are.
//
// What has to be done stands in the repository (files in progress), so a start takes up what the last end left. One
// thread; Kick is thread-safe.
#pragma once

#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gateway/core/backing.h"

namespace carrel::gateway {

class Ingester {
 public:
  explicit Ingester(Backing backing);
  ~Ingester();
  Ingester(const Ingester&) = delete;
  Ingester& operator=(const Ingester&) = delete;

  // There is (or may be) a new file in progress.
  void Kick();

 private:
  // How a file in progress fares in this process.
  struct Progress {
    bool handed_over = false;
    int failures = 0;  // in a row, of ours, not of the file's
    absl::Time next_look = absl::InfinitePast();
    absl::Duration pause = absl::Milliseconds(20);
  };

  void Loop();
  // One look at everything in progress; returns when the next one is due.
  absl::Time LookAtAll();
  // Whether that settled it.
  bool LookAt(const VectorStoreFile& file, Progress& progress);
  absl::StatusOr<StoreFileState> HandOver(const VectorStoreFile& file);
  // What became unwanted while it was handed over must not stay over there.
  void TakeBackUnwanted();
  absl::StatusOr<bool> TakeBack(const VectorStoreFile& file);
  absl::Status Settle(const VectorStoreFile& file, const StoreFileState& state);

  Backing backing_;
  // The loop's own:
  std::unordered_map<std::string, Progress> progress_;  // by store and file
  std::vector<VectorStoreFile> handed_over_;            // since it was last looked whether they are still wanted
  absl::Time full_until_ = absl::InfinitePast();        // the search tool takes no more until then
  absl::Mutex mutex_;
  bool kicked_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace carrel::gateway
