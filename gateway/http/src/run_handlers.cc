// Runs, steps and models.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "handlers.h"

namespace carrel::gateway::http {

using openai::Render;
using openai::RenderList;

absl::StatusOr<PageRequest> PageOf(const Query& query, int limit_default, int limit_max) {
  PageRequest page{
      .limit = limit_default, .after = query.Get("after").value_or(""), .before = query.Get("before").value_or("")};
  std::string order = query.Get("order").value_or("");
  if (!order.empty() && order != "asc" && order != "desc") {
    return MakeError(ErrorKind::kInvalidValue, "order", {order, "asc", "desc"});
  }
  page.ascending = order == "asc";
  std::string limit = query.Get("limit").value_or("");
  if (limit.empty()) return page;
  if (!absl::SimpleAtoi(limit, &page.limit)) {
    return MakeError(ErrorKind::kWrongType, "limit", {"an integer", "a string"});
  }
  if (page.limit > limit_max) {
    return MakeError(ErrorKind::kNumberAboveMax, "limit", {"integer", absl::StrCat(limit_max), limit});
  }
  if (page.limit < 1) return MakeError(ErrorKind::kNumberBelowMin, "limit", {"integer", "1", limit});
  return page;
}

namespace {

Response Stream(Api& api, const Request& request, const RunStarted& started) {
  return Response{
      .status = 200,
      .body = EventStream{.events = api.run_log.Subscribe(started.run.id, started.first_event), .view = request.view}};
}

// A read of one state, after asking whether the thread is there.
template <typename F>
absl::Status ReadThread(Api& api, const Request& request, F read) {
  return api.repository.Read([&](const Snapshot& snapshot) -> absl::Status {
    ThreadId thread(request.Id("thread_id"));
    GATEWAY_RETURN_IF_ERROR(snapshot.GetThread(request.project, thread).status());
    return read(snapshot, thread);
  });
}

}  // namespace

Answer CreateRun(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(openai::RunRequest wanted, openai::ParseNewRun(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(RunStarted started,
                           api.runs.Create(request.project, ThreadId(request.Id("thread_id")), std::move(wanted.run)));
  return wanted.stream ? Stream(api, request, started) : Json(Render(started.run, request.view));
}

Answer CreateThreadAndRun(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(openai::ThreadRunRequest wanted,
                           openai::ParseNewThreadRun(request.body, request.view.version));
  GATEWAY_ASSIGN_OR_RETURN(RunStarted started,
                           api.runs.CreateWithThread(request.project, std::move(wanted.thread), std::move(wanted.run)));
  return wanted.stream ? Stream(api, request, started) : Json(Render(started.run, request.view));
}

Answer ListRuns(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  Page<Run> runs;
  GATEWAY_RETURN_IF_ERROR(ReadThread(api, request, [&](const Snapshot& s, const ThreadId& thread) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(runs, s.ListRuns(request.project, thread, page));
    return absl::OkStatus();
  }));
  return Json(RenderList(runs.items, runs.has_more, request.view));
}

Answer GetRun(Api& api, Request& request) {
  Run run;
  GATEWAY_RETURN_IF_ERROR(ReadThread(api, request, [&](const Snapshot& s, const ThreadId& thread) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(run, s.GetRun(request.project, thread, RunId(request.Id("run_id"))));
    return absl::OkStatus();
  }));
  return Json(Render(run, request.view));
}

Answer UpdateRun(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(std::optional<Metadata> metadata,
                           openai::ParseMetadataChange(request.body, request.view.version));
  if (!metadata.has_value()) return GetRun(api, request);
  GATEWAY_ASSIGN_OR_RETURN(Run run, api.runs.SetMetadata(request.project, ThreadId(request.Id("thread_id")),
                                                         RunId(request.Id("run_id")), *std::move(metadata)));
  return Json(Render(run, request.view));
}

Answer CancelRun(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(
      Run run, api.runs.Cancel(request.project, ThreadId(request.Id("thread_id")), RunId(request.Id("run_id"))));
  return Json(Render(run, request.view));
}

Answer SubmitToolOutputs(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(openai::ToolOutputsRequest wanted, openai::ParseToolOutputs(request.body));
  GATEWAY_ASSIGN_OR_RETURN(RunStarted started,
                           api.runs.SubmitToolOutputs(request.project, ThreadId(request.Id("thread_id")),
                                                      RunId(request.Id("run_id")), std::move(wanted.outputs)));
  return wanted.stream ? Stream(api, request, started) : Json(Render(started.run, request.view));
}

Answer ListSteps(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(PageRequest page, PageOf(request.query));
  RunId run(request.Id("run_id"));
  Page<RunStep> steps;
  GATEWAY_RETURN_IF_ERROR(ReadThread(api, request, [&](const Snapshot& s, const ThreadId& thread) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetRun(request.project, thread, run).status());
    GATEWAY_ASSIGN_OR_RETURN(steps, s.ListSteps(request.project, thread, run, page));
    return absl::OkStatus();
  }));
  return Json(RenderList(steps.items, steps.has_more, request.view));
}

Answer GetStep(Api& api, Request& request) {
  RunId run(request.Id("run_id"));
  RunStep step;
  GATEWAY_RETURN_IF_ERROR(ReadThread(api, request, [&](const Snapshot& s, const ThreadId& thread) -> absl::Status {
    GATEWAY_RETURN_IF_ERROR(s.GetRun(request.project, thread, run).status());
    GATEWAY_ASSIGN_OR_RETURN(step, s.GetStep(request.project, thread, run, StepId(request.Id("step_id"))));
    return absl::OkStatus();
  }));
  return Json(Render(step, request.view));
}

namespace {

absl::StatusOr<JsonText> Models(Api& api) {
  absl::StatusOr<JsonText> models = absl::UnknownError("the model did not answer");
  absl::Notification done;
  api.model.ListModels([&](absl::StatusOr<JsonText> answer) {
    models = std::move(answer);
    done.Notify();
  });
  done.WaitForNotification();
  return models;
}

}  // namespace

Answer ListModels(Api& api, Request&) {
  GATEWAY_ASSIGN_OR_RETURN(JsonText models, Models(api));
  return Json(std::move(models.text));
}

Answer GetModel(Api& api, Request& request) {
  GATEWAY_ASSIGN_OR_RETURN(JsonText models, Models(api));
  std::string model = openai::FindModel(models.text, request.Id("model"));
  if (model.empty()) {
    return MakeError(ErrorKind::kInvalidRequest, "model",
                     {absl::StrCat("The model '", request.Id("model"), "' does not exist")});
  }
  return Json(std::move(model));
}

}  // namespace carrel::gateway::http
