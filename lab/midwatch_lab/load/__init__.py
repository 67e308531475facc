"""The lab's traffic: open- and closed-loop clients that speak OpenAI to a Service."""
