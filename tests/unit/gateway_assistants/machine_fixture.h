// A run's machine with a clock and ids of the test's own, and what it emitted.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/assistants/run_machine.h"

namespace carrel::gateway {

class CountedIds final : public Ids {
 public:
  std::string New(std::string_view prefix) override { return std::string(prefix) + std::to_string(++count_); }

 private:
  int count_ = 0;
};

inline Tool CodeToolOf() { return {.kind = ToolKind::kCodeInterpreter}; }
inline Tool SearchToolOf() { return {.kind = ToolKind::kFileSearch}; }
inline Tool FunctionNamed(std::string name) {
  return {.kind = ToolKind::kFunction, .function = {.name = std::move(name)}};
}

inline std::string NameOf(RunEventKind kind) {
  static const char* const kNames[] = {
      "thread.created",      "run.created",       "run.queued",         "run.in_progress",
      "run.requires_action", "run.completed",     "run.incomplete",     "run.failed",
      "run.cancelling",      "run.cancelled",     "run.expired",        "step.created",
      "step.in_progress",    "step.delta",        "step.completed",     "step.failed",
      "step.cancelled",      "step.expired",      "message.created",    "message.in_progress",
      "message.delta",       "message.completed", "message.incomplete", "error"};
  return kNames[static_cast<int>(kind)];
}

class MachineFixture {
 public:
  explicit MachineFixture(std::vector<Tool> tools = {}) {
    Run run{.id = RunId("run_1"), .thread_id = ThreadId("thread_1"), .assistant_id = AssistantId("asst_1")};
    run.project = ProjectId("p");
    run.created_at = now_;
    run.expires_at = now_ + kRunLifetime;
    run.tools = std::move(tools);
    Begin(std::move(run));
  }

  void Begin(Run run, std::vector<RunStep> steps = {}, std::vector<Message> messages = {}) {
    Restored restored = Restore(std::move(run), std::move(steps), std::move(messages), moment());
    state = std::move(restored.state);
    Take(std::move(restored.effects));
  }

  void Feed(Input input) {
    now_ += absl::Seconds(1);
    Take(Step(state, std::move(input), moment(), limits));
  }

  // To where the model is asked.
  void Start() {
    Feed(TakenUp{});
    Feed(Prepared{});
  }
  void Say(std::string text) { Feed(ModelSaid{.op = state.op, .delta = {.text = std::move(text)}}); }
  void Call(int index, std::string id, std::string name, std::string arguments) {
    Feed(ModelSaid{
        .op = state.op,
        .delta = {
            .tool_calls = {
                {.index = index, .id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)}}}});
  }
  void End(ChatEnd::Reason reason = ChatEnd::Reason::kStop,
           std::optional<TokenUsage> usage = TokenUsage{.prompt_tokens = 10, .completion_tokens = 5}) {
    Feed(ModelEnded{.op = state.op, .end = ChatEnd{.reason = reason, .usage = usage}});
  }
  void FailModel(absl::Status status) { Feed(ModelEnded{.op = state.op, .end = std::move(status)}); }

  // The effects of one kind since the last call, taken.
  template <class E>
  std::vector<E> Taken() {
    std::vector<E> taken;
    std::erase_if(effects, [&](Effect& effect) {
      auto* one = std::get_if<E>(&effect);
      if (one != nullptr) taken.push_back(std::move(*one));
      return one != nullptr;
    });
    return taken;
  }

  // Names of the events since the last call; deltas that follow each other as one.
  std::vector<std::string> TakeNames() {
    std::vector<std::string> names;
    for (const RunEvent& event : fresh_) {
      const std::string name = NameOf(event.kind);
      if (IsDelta(event.kind) && !names.empty() && names.back() == name) continue;
      names.push_back(name);
    }
    fresh_.clear();
    return names;
  }

  // What clients that add up the deltas of a message have; annotations too.
  std::vector<ContentPart> Accumulated(const MessageId& id) const {
    std::vector<ContentPart> parts;
    for (const RunEvent& event : events) {
      const auto* delta = std::get_if<MessageDelta>(&event.payload);
      if (delta == nullptr || delta->message_id != id) continue;
      if (delta->index == static_cast<int>(parts.size())) parts.push_back({.kind = delta->kind});
      ContentPart& part = parts.at(delta->index);
      part.text += delta->text;
      if (delta->kind == ContentPart::Kind::kImageFile) part.image_file = delta->image_file;
      part.annotations.insert(part.annotations.end(), delta->annotations.begin(), delta->annotations.end());
    }
    return parts;
  }
  template <class Object>
  std::vector<Object> All(RunEventKind kind) const {
    std::vector<Object> found;
    for (const RunEvent& event : events) {
      if (event.kind == kind) found.push_back(std::get<Object>(event.payload));
    }
    return found;
  }

  Moment moment() { return {.now = now_, .ids = &ids}; }

  RunState state;
  MachineLimits limits;
  CountedIds ids;
  std::vector<RunEvent> events;
  std::vector<Effect> effects;  // but Emit
  // What is written, in its order: Emit and KeepStep.
  std::vector<Effect> writes;

 private:
  void Take(std::vector<Effect> taken) {
    for (Effect& effect : taken) {
      if (std::holds_alternative<Emit>(effect) || std::holds_alternative<KeepStep>(effect)) writes.push_back(effect);
      if (auto* emit = std::get_if<Emit>(&effect); emit != nullptr) {
        for (RunEvent& event : emit->events) {
          fresh_.push_back(event);
          events.push_back(std::move(event));
        }
      } else {
        effects.push_back(std::move(effect));
      }
    }
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::vector<RunEvent> fresh_;
};

}  // namespace carrel::gateway
