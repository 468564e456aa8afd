// The two tools without their services: what the code says is what happens.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gateway/ports/code_tool.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

// Prints the code; "write" makes a file and a picture, "hang" waits until it is cancelled.
class FakeCode final : public CodeTool {
 public:
  explicit FakeCode(FileStore& files) : files_(files) {}

  class Call final : public CodeCall {
   public:
    Call(std::thread thread, std::shared_ptr<absl::Notification> stop)
        : thread_(std::move(thread)), stop_(std::move(stop)) {}
    ~Call() override {
      stop_->Notify();
      thread_.join();
    }

   private:
    std::thread thread_;
    std::shared_ptr<absl::Notification> stop_;
  };

  std::unique_ptr<CodeCall> Start(CodeRequest request, std::shared_ptr<CodeListener> listener) override {
    last = request;
    auto stop = std::make_shared<absl::Notification>();
    std::thread thread([this, request = std::move(request), listener = std::move(listener), stop] {
      listener->OnLogs("printed ");
      if (request.code == "hang") {
        stop->WaitForNotification();
        interrupted.Notify();
        return;
      }
      listener->OnLogs(request.code);
      CodeResult result{.text = "printed " + request.code};
      if (request.code == "fail") result.ending.kind = Outcome::Kind::kRaised;
      if (request.code == "write") {
        result.files.push_back({.path = "d/a.csv", .media_type = "text/csv", .stored = Keep("1,2")});
        result.images.push_back({.path = "image-1.png", .media_type = "image/png", .stored = Keep("png")});
      }
      listener->OnEnd(std::move(result));
    });
    return std::make_unique<Call>(std::move(thread), std::move(stop));
  }
  absl::Status Delete(const ProjectId&, const ContainerId&) override { return absl::OkStatus(); }

  CodeRequest last;
  absl::Notification interrupted;

 private:
  StoredBlob Keep(std::string_view bytes) {
    auto writer = *files_.Create(bytes.size());
    if (!writer->Append(bytes).ok()) std::abort();
    return *writer->Finish();
  }
  FileStore& files_;
};

class FakeSearch final : public SearchTool {
 public:
  absl::Status EnsureStore(const ProjectId&, const StoreId&, const Chunking&) override { return absl::OkStatus(); }
  absl::Status DeleteStore(const ProjectId&, const StoreId&) override { return absl::OkStatus(); }
  absl::StatusOr<StoreModel> Model(const ProjectId&, const StoreId&) override { return StoreModel{.name = "fake"}; }
  absl::StatusOr<StoreModel> SetModel(const ProjectId&, const StoreId&, const std::string& model) override {
    return StoreModel{.name = model};
  }
  absl::StatusOr<StoreFileState> AddFile(const VectorStoreFile&, const FileObject&) override {
    return StoreFileState{.status = StoreFileStatus::kCompleted, .facts = {.pages = 2, .verdict = "READ"}};
  }
  absl::StatusOr<StoreFileState> FileState(const ProjectId&, const StoreId&, const FileId&) override {
    return StoreFileState{.status = StoreFileStatus::kCompleted, .facts = {.pages = 2, .verdict = "READ"}};
  }
  absl::Status SetAttributes(const ProjectId&, const StoreId&, const FileId&, const Attributes&) override {
    return absl::OkStatus();
  }
  absl::Status DeleteFile(const ProjectId&, const StoreId&, const FileId& file) override {
    deleted.push_back(file);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> FileText(const ProjectId&, const StoreId&, const FileId&) override { return ""; }
  absl::StatusOr<Citation> Cite(const ProjectId&, const StoreId&, const FileId&, const TextSpan& span) override {
    return Citation{.quote = "quote",
                    .span = span,
                    .first_page = 2,
                    .last_page = 2,
                    .first_page_label = "ii",
                    .last_page_label = "ii",
                    .boxes = {{.page = 2, .x_min = 1, .y_min = 2, .x_max = 3, .y_max = 4}}};
  }
  absl::StatusOr<PagePicture> RenderPage(const PictureRequest& request) override {
    drawn = request;
    return PagePicture{.png = picture, .page = request.page == 0 ? 2 : request.page};
  }
  absl::StatusOr<SearchAnswer> Search(const SearchRequest& request) override {
    last = request;
    return SearchAnswer{.results = {{.file_id = FileId("file-1"),
                                     .file_name = "a.pdf",
                                     .score = 0.5,
                                     .passage = "passage",
                                     .citations = {{.quote = "quote", .first_page = 2, .last_page = 2}}}},
                        .times = {.elapsed_us = 1500, .text_us = 40}};
  }
  SearchRequest last;
  std::vector<FileId> deleted;
  PictureRequest drawn;
  std::string picture = "png";
};

}  // namespace carrel::gateway
