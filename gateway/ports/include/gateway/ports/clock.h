// Time and new ids, so that tests decide both.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "gateway/types/ids.h"

namespace carrel::gateway {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// Thread-safe.
class Ids {
 public:
  virtual ~Ids() = default;
  // `prefix` and then characters of [A-Za-z0-9] that nobody can guess, as many as make an id that is not given twice.
  virtual std::string New(std::string_view prefix) = 0;

  AssistantId NewAssistant() { return AssistantId(New("asst_")); }
  ThreadId NewThread() { return ThreadId(New("thread_")); }
  MessageId NewMessage() { return MessageId(New("msg_")); }
  RunId NewRun() { return RunId(New("run_")); }
  StepId NewStep() { return StepId(New("step_")); }
  CallId NewCall() { return CallId(New("call_")); }
  FileId NewFile() { return FileId(New("file-")); }
  StoreId NewStore() { return StoreId(New("vs_")); }
  BatchId NewBatch() { return BatchId(New("vsfb_")); }
  ContainerId NewContainer() { return ContainerId(New("cntr_")); }
  UploadId NewUpload() { return UploadId(New("upload_")); }
  PartId NewPart() { return PartId(New("part_")); }
  KeyId NewKey() { return KeyId(New("key_")); }
};

}  // namespace carrel::gateway
