"""Who the caller is, as STS tells it."""

from translators.registry import Call, Result, action


@action
def get_caller_identity(call: Call) -> Result:
    """Answer for an account's root, whose user id is the account's id; IAM has no other principals here yet."""
    return {"Account": call.account, "Arn": call.principal, "UserId": call.account}
