// Threads and their messages. Thread-safe.
//
// The functions that take a Transaction are for the run executor, which adds messages together with a run; it must call
// Stores::Kick once the transaction is committed.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/core/stores.h"
#include "gateway/types/thread.h"

namespace carrel::gateway {

class Threads {
 public:
  Threads(Backing backing, Stores& stores) : backing_(backing), stores_(stores) {}

  absl::StatusOr<Thread> Create(const ProjectId& project, NewThread request);
  absl::StatusOr<Thread> Get(const ProjectId& project, const ThreadId& id);
  absl::StatusOr<Thread> Update(const ProjectId& project, const ThreadId& id, ThreadChange change);
  // The caller has ended the thread's runs (Runs::Abandon).
  absl::Status Delete(const ProjectId& project, const ThreadId& id);

  // kMessageWhileRunActive while a run holds the thread.
  absl::StatusOr<Message> AddMessage(const ProjectId& project, const ThreadId& thread, NewMessage request);
  absl::StatusOr<Message> GetMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id);
  absl::StatusOr<Page<Message>> ListMessages(const ProjectId& project, const ThreadId& thread,
                                             const MessageFilter& filter, const PageRequest& page);
  absl::StatusOr<Message> SetMessageMetadata(const ProjectId& project, const ThreadId& thread, const MessageId& id,
                                             Metadata metadata);
  absl::Status DeleteMessage(const ProjectId& project, const ThreadId& thread, const MessageId& id);

  // The thread with its messages and its store.
  absl::StatusOr<Thread> CreateIn(Transaction& t, const ProjectId& project, const NewThread& request);
  // Files are checked, and attachments extend the thread's resources (`thread` is changed and stored). Does not ask
  // whether a run holds the thread. `param` is where the message stands in the request ("messages[0]", or "").
  absl::StatusOr<Message> AddMessageIn(Transaction& t, Thread& thread, const NewMessage& request,
                                       const std::string& param);

 private:
  absl::Status AttachIn(Transaction& t, Thread& thread, const Message& message, const std::string& param);

  Backing backing_;
  Stores& stores_;
};

// Every file and store that `resources` names exists in the project.
absl::Status CheckResources(const Snapshot& s, const ProjectId& project, const ToolResources& resources);

}  // namespace carrel::gateway
