// A thread and its messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/citation.h"
#include "gateway/types/file.h"
#include "gateway/types/ids.h"
#include "gateway/types/tool.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

struct Thread {
  ThreadId id;
  ProjectId project;
  absl::Time created_at;
  Metadata metadata;
  // Attachments of messages extend these.
  ToolResources tool_resources;
};

enum class Role { kUser, kAssistant };

struct Annotation {
  enum class Kind { kFileCitation, kFilePath };
  Kind kind = Kind::kFileCitation;
  std::string text;         // exactly the characters [start_index, end_index) of the text
  int64_t start_index = 0;  // code points
  int64_t end_index = 0;
  FileId file_id;
  // kFileCitation. Of it v1 shows the quote; the rest is shown to those who ask for more.
  Citation citation;
  double score = 0;  // of the passage, 0 to 1
  friend bool operator==(const Annotation&, const Annotation&) = default;
};

struct ContentPart {
  enum class Kind { kText, kImageFile, kImageUrl, kRefusal };
  Kind kind = Kind::kText;
  std::string text;  // kText, kRefusal
  std::vector<Annotation> annotations;
  FileId image_file;      // kImageFile
  std::string image_url;  // kImageUrl
  std::string detail;     // "auto", "low", "high" or "" (not given)
  friend bool operator==(const ContentPart&, const ContentPart&) = default;
};

struct Attachment {
  FileId file_id;
  bool code_interpreter = false;
  bool file_search = false;
  friend bool operator==(const Attachment&, const Attachment&) = default;
};

struct Message {
  enum class Status { kInProgress, kIncomplete, kCompleted };
  enum class IncompleteReason { kContentFilter, kMaxTokens, kRunCancelled, kRunFailed, kRunExpired };

  MessageId id;
  ProjectId project;
  ThreadId thread_id;
  absl::Time created_at;
  Status status = Status::kCompleted;
  std::optional<IncompleteReason> incomplete_reason;
  std::optional<absl::Time> completed_at;
  std::optional<absl::Time> incomplete_at;
  Role role = Role::kUser;
  std::vector<ContentPart> content;
  std::optional<AssistantId> assistant_id;
  std::optional<RunId> run_id;
  std::vector<Attachment> attachments;
  Metadata metadata;
};

// A message as a client asks for it, before it has an id.
struct NewMessage {
  Role role = Role::kUser;
  std::vector<ContentPart> content;
  std::vector<Attachment> attachments;
  Metadata metadata;
};

// A thread as a client asks for it.
struct NewThread {
  std::vector<NewMessage> messages;
  ToolResources tool_resources;
  // A store to make (the "vector_stores" helper).
  std::optional<NewStore> store;
  Metadata metadata;
};

// What a client changes; absent: as it was.
struct ThreadChange {
  std::optional<Metadata> metadata;
  std::optional<ToolResources> tool_resources;
};

}  // namespace carrel::gateway
