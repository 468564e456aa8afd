// Objects as clients see them, with exactly the fields of the reference, in its order.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"
#include "gateway/openai/version.h"
#include "gateway/types/assistant.h"
#include "gateway/types/file.h"
#include "gateway/types/run.h"
#include "gateway/types/server_facts.h"
#include "gateway/types/thread.h"
#include "gateway/types/upload.h"

namespace carrel::gateway::openai {

// What a request may ask to see more of.
struct View {
  ApiVersion version = ApiVersion::kV2;
  // include[]=step_details.tool_calls[*].file_search.results[*].content
  bool search_content = false;
  // X-Carrel: 1: what OpenAI's API has no place for stands in "x_carrel" of each object that has such.
  bool carrel = false;
};

std::string RenderServer(const ServerFacts& facts);
// By the names of carrel.retrieval.v1.Citation.
std::string RenderCitation(const Citation& citation);

// Text of a JSON object. T: Assistant, Thread, Message, Run, RunStep, FileObject, VectorStore, VectorStoreFile,
// FileBatch.
template <typename T>
std::string Render(const T& object, const View& view = {});

// {"object": "list", "data", "first_id", "last_id", "has_more"}
template <typename T>
std::string RenderList(const std::vector<T>& items, bool has_more, const View& view = {});

// {"id", "object": <object>, "deleted": true}
std::string RenderDeleted(const std::string& id, const std::string& object);

// v1's files of assistants and messages.
std::string RenderAssistantFile(const AssistantFile& file, const AssistantId& assistant);
std::string RenderAssistantFiles(std::span<const AssistantFile> files, const AssistantId& assistant, bool has_more);
std::string RenderMessageFile(const FileId& file, const Message& message);
std::string RenderMessageFiles(std::span<const FileId> files, const Message& message, bool has_more);

std::string RenderFileText(const std::string& text);
std::string RenderSearchPage(const std::vector<std::string>& queries, const SearchAnswer& answer, const View& view);

// A container, as the API shows it.
struct ContainerView {
  ContainerId id;
  std::string name;
  absl::Time created_at;
  absl::Time last_active_at;
  bool running = false;  // else it has expired
  int64_t idle_minutes = 0;
  uint64_t memory_bytes = 0;
};
struct ContainerFileView {
  std::string id;  // "cfile_…"
  ContainerId container;
  std::string path;  // below /mnt/data
  uint64_t bytes = 0;
  absl::Time created_at;
  bool by_user = false;  // else by code
};
std::string RenderContainer(const ContainerView& container);
std::string RenderContainers(const std::vector<ContainerView>& containers, bool has_more);
std::string RenderContainerFile(const ContainerFileView& file);
std::string RenderContainerFiles(const std::vector<ContainerFileView>& files, bool has_more);

// `file`: what a completed upload has become.
std::string RenderUpload(const FileUpload& upload, const FileObject* file, const View& view);
std::string RenderUploadPart(const UploadPart& part);

struct EventText {
  std::string_view name;  // "thread.run.created"
  std::string data;       // one line
};
EventText RenderEvent(const RunEvent& event, const View& view);

// The one model of {"object": "list", "data": […]} with this id; "" when there is none, or the text is not such a list.
std::string FindModel(const std::string& models, const std::string& id);

// One line a key; `secret` is shown only when it is given.
std::string RenderKey(const ApiKey& key, const std::string& secret);
std::string RenderKeys(std::span<const ApiKey> keys);

}  // namespace carrel::gateway::openai
