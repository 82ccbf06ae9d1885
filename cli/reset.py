"""``groundfog reset``: a simulated deployment as it was when it was new."""

import json
import time
from urllib.parse import urlsplit

from cli.configuration import Data, deployed, endpoint
from cli.terminal import Failure, say


def reset(data: Data = None) -> None:
    """Bring a simulated deployment back to its seeded state. It must have been started with --allow-reset.

    Examples:

        groundfog reset

        curl -X POST $AWS_ENDPOINT_URL/_groundfog/reset
    """
    import http.client

    settings = deployed(data)
    url = endpoint(settings)
    began = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", "/_groundfog/reset")
        answer = connection.getresponse()
        told = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure(f"cannot reset: {url} does not answer ({error}); start it: groundfog up") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise Failure(told.get("error", f"cannot reset: {url} answered {answer.status}"))
    say(f"{url} is as it was seeded ({(time.monotonic() - began) * 1000:.0f} ms)")
