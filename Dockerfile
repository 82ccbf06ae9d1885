# The gateway, with the simulated engine:
#
#   docker build -t groundfog . && docker run -p 8777:8777 groundfog
#   AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws --endpoint-url http://127.0.0.1:8777 \
#       --region us-east-1 ec2 describe-instances
#
# Everything is kept in the volume /data. With a PostgreSQL of yours:
#
#   docker run -p 8777:8777 -v groundfog:/data -e GROUNDFOG_DATABASE=postgresql+psycopg://user:password@host/name groundfog
#
# Real guests need a host's own libvirt, Open vSwitch and OVN: there, run `make up` rather than a container.
FROM python:3.13-slim

WORKDIR /opt/groundfog
COPY pyproject.toml LICENSE README.md settings.py wsgi.py ./
COPY cli cli
COPY engine engine
COPY gateway gateway
COPY translators translators
RUN pip install --no-cache-dir . && useradd --system --home-dir /data groundfog && install -d -o groundfog /data

USER groundfog
VOLUME /data
WORKDIR /data
ENV GROUNDFOG_DATA=/data/groundfog GROUNDFOG_HOST=0.0.0.0 GROUNDFOG_PORT=8777
EXPOSE 8777
HEALTHCHECK --interval=10s --start-period=5s CMD ["groundfog", "status"]
CMD ["groundfog", "up", "--engine", "simulated"]
