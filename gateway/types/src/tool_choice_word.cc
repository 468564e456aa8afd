#include "gateway/types/tool_choice_word.h"

namespace carrel::gateway {

std::optional<std::string> ToolChoiceWord(ToolChoice::Kind kind) {
  switch (kind) {
    case ToolChoice::Kind::kAuto:
      return "auto";
    case ToolChoice::Kind::kNone:
      return "none";
    case ToolChoice::Kind::kRequired:
      return "required";
    case ToolChoice::Kind::kFunction:
    case ToolChoice::Kind::kCodeInterpreter:
    case ToolChoice::Kind::kFileSearch:
      break;
  }
  return std::nullopt;
}

}  // namespace carrel::gateway
